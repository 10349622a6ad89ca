"""Both databases are one: the same tables from the same files, every statement understood."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from importlib import import_module
from pathlib import Path

import pytest
from company import CHASSIS

from orchestrator.engine import store as engine
from services.chassis import key_verbs, sqlite
from services.chassis.postgres import PostgresStore, open_store
from services.chassis.postgres_sql import translate
from services.chassis.store import Constraint, Plan, Statement, Write, statements
from services.chassis.transaction import SQL
from tests.postgres_server import PostgresServer

SERVICES = ("analytics", "billing", "crm", "inventory", "notifications", "orders", "shipping")
PROGRAMS = pytest.mark.parametrize("name", [*SERVICES, "orchestrator"])
COLUMNS = """
SELECT columns.table_name || '.' || columns.column_name AS name,
    is_nullable = 'NO' AS always,
    coalesce(array_position(conkey, ordinal_position::smallint), 0) AS key
FROM information_schema.columns LEFT JOIN pg_constraint
    ON contype = 'p' AND conrelid = to_regclass(columns.table_name)
WHERE table_schema = 'public' AND columns.table_name NOT IN (SELECT viewname FROM pg_views)
ORDER BY columns.table_name COLLATE "C", ordinal_position
"""
NAMED = """
SELECT tgname AS name FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT viewname FROM pg_views WHERE schemaname = 'public'
UNION ALL SELECT indexname FROM pg_indexes WHERE schemaname = 'public'
    AND to_regclass(indexname) NOT IN (SELECT conindid FROM pg_constraint)
"""
RULES = """
SELECT count(*) FILTER (WHERE contype = 'c') AS checks,
    count(*) FILTER (WHERE contype = 'u') AS once,
    count(*) FILTER (WHERE contype = 'f') AS refers
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
"""
ONLY_HERE = {"outbox_behind", "sagas_once"}


def folders(name: str) -> dict[str, Path]:
    if name == "orchestrator":
        return {name: engine.MIGRATIONS}
    return {name: import_module(f"services.{name}.store").MIGRATIONS}


def texts(name: str) -> list[Statement]:
    """Every statement that a program of this name ever runs."""
    named = [*SQL.values(), *key_verbs.SQL.values()]
    if name == "orchestrator":
        return [*named, *engine.SQL.values()]
    store = import_module(f"services.{name}.store")
    named += statements(store.QUERIES).values()
    return named + [each for t in store.TABLES for each in (t.select, t.insert, t.update)]


@pytest.fixture
async def store(name: str, postgres_server: PostgresServer) -> AsyncIterator[PostgresStore]:
    async with open_store(postgres_server.make(), folders(name)) as opened:
        yield opened


@PROGRAMS
async def test_both_databases_have_the_same_tables(name: str, store: PostgresStore) -> None:
    """Columns and their order, what may be NULL, keys, checks, indexes, views, triggers."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as ours:
        for owner, folder in {"chassis": CHASSIS, **folders(name)}.items():
            sqlite._migrate(owner, folder, ours)
        master = ours.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
        columns = [
            (f"{table}.{column}", bool(always or key), key)
            for table in sorted(each for kind, each, _ in master if kind == "table")
            for _, column, _, always, _, key in ours.execute(f"PRAGMA table_info({table})")
        ]
    theirs = [tuple(row.values()) for row in await store.read(COLUMNS)]
    assert theirs == columns
    named = {str(row["name"]) for row in await store.read(NAMED)}
    assert named - ONLY_HERE == {
        each for kind, each, sql in master if kind != "table" and sql is not None
    }
    sql = " ".join(str(sql) for *_, sql in master)
    assert await store.read(RULES) == [
        {
            "checks": sql.count("CHECK ("),
            "once": sql.count("NULL UNIQUE"),
            "refers": sql.count("REFERENCES"),
        }
    ]


@PROGRAMS
async def test_every_statement_is_understood(name: str, store: PostgresStore) -> None:
    """The server prepares each against the program's tables, and knows every parameter's type."""
    async with store._writers.acquire() as connection:
        for each in texts(name):
            text = translate(each)
            if text.sql:
                prepared = await connection.prepare(text.sql)
                assert len(prepared.get_parameters()) == len(text.params), each.name


@pytest.mark.parametrize("name", ["orchestrator"])
async def test_the_journal_is_append_only_here_too(store: PostgresStore) -> None:
    """No line is changed, and none is taken away from a saga that has a row."""

    async def write(*asks: str) -> None:
        def plan() -> Plan[None]:
            for each in asks:
                yield Write(Statement(each, each), [()])

        await store.run(plan)

    await write(
        "INSERT INTO sagas SELECT 1, 1, '', '', 1, '', 0, '', 1" + ", ''" * 6 + ", 0, 0, 0",
        "INSERT INTO journal SELECT 1, 1, 1, 1" + ", ''" * 12,
    )
    for change in ("DELETE FROM journal", "UPDATE journal SET what = 'x'"):
        with pytest.raises(Constraint, match=r"^the journal is append-only$"):
            await write(change)
    await write("DELETE FROM sagas", "DELETE FROM journal")
    assert await store.read("SELECT * FROM journal") == []
