"""The notifications process: settings, rows, handlers and gateway put together."""

from __future__ import annotations

from services.chassis.service import Service, run
from services.notifications.api import routes
from services.notifications.gateway import GatewaySettings, open_gateway
from services.notifications.handlers import HANDLERS
from services.notifications.store import MIGRATIONS, QUERIES, TABLES

SERVICE = Service(
    name="notifications",
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
