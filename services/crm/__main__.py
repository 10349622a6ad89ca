"""The crm process: settings, rows and handlers put together."""

from __future__ import annotations

from services.chassis.service import Service, run
from services.crm.api import routes
from services.crm.handlers import HANDLERS
from services.crm.store import MIGRATIONS, QUERIES, TABLES

SERVICE = Service(
    name="crm",
    handlers=HANDLERS,
    tables=TABLES,
    migrations=MIGRATIONS,
    queries=QUERIES,
    routes=routes,
)

if __name__ == "__main__":
    run(SERVICE)
