"""The orders process: settings, rows and handlers put together."""

from __future__ import annotations

from services.chassis.service import Service, run
from services.orders.api import routes
from services.orders.handlers import HANDLERS
from services.orders.store import MIGRATIONS, QUERIES, TABLES

SERVICE = Service(
    name="orders",
    handlers=HANDLERS,
    tables=TABLES,
    migrations=MIGRATIONS,
    queries=QUERIES,
    routes=routes,
)

if __name__ == "__main__":
    run(SERVICE)
