"""A service's handlers over rows in memory: each message is handed exactly the rows it names.

Rows go through the columns of their table on every write, so what JSON does not give back as it
was fails here; `database` puts them into a real SQLite made by the service's own migrations.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from itertools import permutations
from pathlib import Path

import httpx
from starlette.routing import Route

from services.chassis.access import Role
from services.chassis.api import ApiPort
from services.chassis.gate import secured
from services.chassis.handlers import Answer, Change, Handler, Response
from services.chassis.store import statements
from services.chassis.tables import Table
from tests.gates import gate_for

Told = tuple[object, str]
"""A message and its id."""


def every_order(*news: Told) -> Iterable[tuple[Told, ...]]:
    """All orders in which the news may come; what is given twice is told twice."""
    return dict.fromkeys(permutations(news))


class Desk:
    def __init__(self, handlers: Sequence[Handler], tables: Sequence[Table]) -> None:
        self._handlers = {handler.message: handler for handler in handlers}
        self._tables = {table.row: table for table in tables}
        self.rows: dict[type, dict[str, object]] = {table.row: {} for table in tables}

    def tell(self, message: object, event_id: str = "") -> Answer | Change | Response:
        handler = self._handlers[type(message)]
        loads, given = handler.loads, list[Mapping[str, object]]()
        if loads.table is not None and loads.by is not None:
            given.append(self._load(loads.table, loads.by(message)))
        if loads.then is not None and loads.whose is not None:
            given.append(self._load(loads.then, loads.whose(message, *given)))
        assert handler.fn is not None
        result = handler.fn(message, *given, *([event_id] if handler.with_id else []))
        assert isinstance(result, Answer | Change | Response)
        self._write(result.rows, given)
        return result

    def tell_all(self, news: Iterable[Told]) -> Desk:
        for message, event_id in news:
            self.tell(message, event_id)
        return self

    def all(self, row: type) -> list[object]:
        return [self.rows[row][key] for key in sorted(self.rows[row])]

    def written(self) -> str:
        """All rows as their tables keep them: equal texts are equal digests."""
        return repr(
            [table.encode(each) for row, table in self._tables.items() for each in self.all(row)]
        )

    def _load(self, table: type, keys: Iterable[str]) -> dict[str, object]:
        return {key: self.rows[table][key] for key in keys if key in self.rows[table]}

    def _write(self, rows: Iterable[object], given: Sequence[Mapping[str, object]]) -> None:
        for row in rows:
            table = self._tables[type(row)]
            key = table.key_of(row)
            back, _ = table.decode((*table.encode(row), 1))
            assert back == row, "a column does not give back what was written"
            old = self.rows[type(row)].get(key)
            assert old is None or any(each.get(key) is old for each in given), "written unloaded"
            self.rows[type(row)][key] = row

    def database(self, migrations: Path) -> sqlite3.Connection:
        db = sqlite3.connect(":memory:")
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA foreign_keys = ON")
        for script in sorted(migrations.glob("*.sql")):
            db.executescript(script.read_text())
        with db:
            for row, table in self._tables.items():
                lines = [(*table.encode(each),) for each in self.all(row)]
                db.executemany(table.insert.sql, lines)
        return db

    def read(self, migrations: Path, name: str, **params: object) -> list[dict[str, object]]:
        """A named query of the service's store.sql over the rows as they are now."""
        sql = statements(migrations.parent / "store.sql")[name].sql
        with closing(self.database(migrations)) as db:
            return [dict(row) for row in db.execute(sql, params)]


class Port:
    """The chassis as routes see it, over a desk; `fault` is what a submission fails with."""

    def __init__(self, desk: Desk, migrations: Path) -> None:
        self.desk = desk
        self.emitted: list[object] = []
        self.fault: Exception | None = None
        self._migrations = migrations

    async def submit(self, request: object) -> object:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        response = self.desk.tell(request)
        assert isinstance(response, Response)
        self.emitted += response.emits
        return response.value

    async def read(self, query: str, /, **params: object) -> Sequence[Mapping[str, object]]:
        return self.desk.read(self._migrations, query, **params)


def client(
    routes: Callable[[ApiPort], Sequence[Route]],
    port: Port,
    folder: Path,
    role: Role = Role.OPERATOR,
) -> httpx.AsyncClient:
    """A client with the token of the routes as the chassis serves them."""
    gate = gate_for(folder, {"open-sesame": role})
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(secured(routes(port), gate)),
        base_url="http://service",
        headers={"Authorization": "Bearer open-sesame"},
    )


def faults(response: httpx.Response) -> list[tuple[str, str]]:
    """The places and problems of a refusal, whose form is always the same."""
    problem = response.json()
    assert response.headers["Content-Type"] == "application/problem+json"
    assert set(problem) == {"type", "title", "status", "detail", "errors"}
    assert problem["status"] == response.status_code
    return [(each["place"], each["problem"]) for each in problem["errors"]]
