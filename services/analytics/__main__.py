"""The analytics process: settings, rows and handlers put together."""

from __future__ import annotations

from services.analytics.api import routes
from services.analytics.handlers import HANDLERS
from services.analytics.store import MIGRATIONS, QUERIES, TABLES
from services.chassis.service import Service, run

SERVICE = Service(
    name="analytics",
    handlers=HANDLERS,
    tables=TABLES,
    migrations=MIGRATIONS,
    queries=QUERIES,
    routes=routes,
)

if __name__ == "__main__":
    run(SERVICE)
