"""The billing process: settings, rows, handlers and gateway put together."""

from __future__ import annotations

from services.billing.api import routes
from services.billing.gateway import GatewaySettings, open_gateway
from services.billing.handlers import HANDLERS
from services.billing.store import MIGRATIONS, QUERIES, TABLES
from services.chassis.service import Service, run

SERVICE = Service(
    name="billing",
    handlers=HANDLERS,
    tables=TABLES,
    migrations=MIGRATIONS,
    queries=QUERIES,
    gateway=open_gateway,
    routes=routes,
    settings=GatewaySettings,
)

if __name__ == "__main__":
    run(SERVICE)
