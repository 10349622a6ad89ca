"""A service's HTTP reads over its real database: rows in, its routes as a client sees them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from services.chassis.api import ApiPort
from services.chassis.sqlite import open_store
from services.chassis.store import Plan, Store, Value, Write, statements
from services.chassis.tables import Table


class Port:
    """The chassis's way to the named queries, without the writer."""

    def __init__(self, store: Store, queries: Path) -> None:
        self._store = store
        self._queries = statements(queries)

    async def submit(self, request: object) -> object:
        raise AssertionError(f"{request} was submitted to an interface that only reads")

    async def read(self, query: str, /, **params: Value) -> Sequence[Mapping[str, object]]:
        return await self._store.read(self._queries[query].sql, params)


@asynccontextmanager
async def reading(
    folder: Path,
    tables: Sequence[Table],
    routes: Callable[[ApiPort], Sequence[BaseRoute]],
    rows: Iterable[object],
    *,
    migrations: Path,
) -> AsyncIterator[httpx.AsyncClient]:
    """`migrations` is the service's folder; its store.sql stands beside it."""
    by_row = {table.row: table for table in tables}
    given = [(by_row[type(row)], row) for row in rows]

    def fill() -> Plan[None]:
        for table, row in given:
            yield Write(table.insert, [table.encode(row)], expect=1)

    async with open_store(folder / "service.db", {"service": migrations}) as store:
        await store.run(fill)
        app = Starlette(routes=list(routes(Port(store, migrations.parent / "store.sql"))))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api.invalid") as client:
            yield client
