"""A database of a PostgreSQL, read: questions, and a copy of what is checked into an SQLite.

Everything of one moment, in one transaction that cannot write. The second module that knows
asyncpg, imported only where a database lies on a server: it shares nothing with the store
(DECISIONS.md).
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from deploy.verify.evidence import TABLES

WITHIN_S: Final = 10.0
SLICE: Final = 10_000
FAULTS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)


async def ask(url: str, questions: Sequence[str]) -> list[list[tuple[object, ...]]] | None:
    """The answers, or None where the server has no such database. Raises FAULTS."""
    async with _snapshot(url) as server:
        if server is None:
            return None
        return [[tuple(row) for row in await server.fetch(each)] for each in questions]


async def copy(process: str, url: str, into: sqlite3.Connection) -> bool:
    """Whether there was one. Raises FAULTS."""
    async with _snapshot(url) as server:
        if server is None:
            return False
        await _table(server, "keys", ("id", "name"), into)
        into.execute("CREATE UNIQUE INDEX keys_by_id ON keys (id)")
        for kind, table in TABLES[process].items():
            await _table(server, table, kind._fields, into)  # type: ignore[attr-defined]
    into.commit()
    return True


async def _table(
    server: asyncpg.Connection, table: str, columns: Sequence[str], into: sqlite3.Connection
) -> None:
    """Only names of ours stand in these statements."""
    names, marks = ", ".join(f'"{each}"' for each in columns), ", ".join("?" for _ in columns)
    into.execute(f"CREATE TABLE {table} ({names})")
    rows = await server.cursor(f"SELECT {names} FROM {table}")  # noqa: S608
    while some := await rows.fetch(SLICE):
        into.executemany(f"INSERT INTO {table} VALUES ({marks})", map(tuple, some))  # noqa: S608


@asynccontextmanager
async def _snapshot(url: str) -> AsyncIterator[asyncpg.Connection | None]:
    try:
        server = await asyncpg.connect(
            url, timeout=WITHIN_S, server_settings={"application_name": "baton verify"}
        )
    except asyncpg.InvalidCatalogNameError:
        yield None
        return
    try:
        async with server.transaction(isolation="repeatable_read", readonly=True):
            yield server
    finally:
        server.terminate()
