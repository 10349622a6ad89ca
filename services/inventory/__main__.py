"""The inventory process: settings, rows and handlers put together."""

from __future__ import annotations

from services.chassis.service import Service, run
from services.inventory.api import routes
from services.inventory.handlers import HANDLERS
from services.inventory.store import MIGRATIONS, QUERIES, TABLES

SERVICE = Service(
    name="inventory",
    handlers=HANDLERS,
    tables=TABLES,
    migrations=MIGRATIONS,
    queries=QUERIES,
    routes=routes,
)

if __name__ == "__main__":
    run(SERVICE)
