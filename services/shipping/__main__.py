"""The shipping process: settings, rows, handlers and gateway put together."""

from __future__ import annotations

from services.chassis.service import Service, run
from services.shipping.api import routes
from services.shipping.gateway import GatewaySettings, open_gateway
from services.shipping.handlers import HANDLERS
from services.shipping.store import MIGRATIONS, QUERIES, TABLES

SERVICE = Service(
    name="shipping",
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
