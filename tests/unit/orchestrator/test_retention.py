"""Sagas that ended long ago are forgotten whole; of every other the journal stands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from orchestrator.engine import retention
from orchestrator.engine.retention import RULES
from orchestrator.engine.store import MIGRATIONS
from orchestrator.program import PROGRAM
from services.chassis.settings import Settings
from services.chassis.sqlite import SqliteStore, open_store
from services.chassis.store import Constraint, Plan, Row, Statement, Write

NOW_US = 1_763_900_000_000_000
SETTINGS = Settings(service="orchestrator", kafka_bootstrap_servers="k:1", home=Path())
OLD_US = NOW_US - (SETTINGS.journal_days + 1) * 86_400_000_000
TABLES = ("sagas", "saga_data", "made", "journal")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    migrations = {"orchestrator": MIGRATIONS}
    async with open_store(tmp_path / "o.db", migrations, durable=False) as made:
        yield made


async def write(store: SqliteStore, sql: str, *rows: Row) -> None:
    def plan() -> Plan[None]:
        yield Write(Statement("test", sql), rows)

    await store.run(plan)


async def saga(store: SqliteStore, number: int, phase: str, updated_us: int) -> None:
    await write(
        store,
        "INSERT INTO sagas VALUES"
        " (?, ?, ?, 'fulfilment', 1, ?, 0, '[]', 1, 'e', 'd', '[]', '', '', '', 0, 1, ?)",
        (number, number, f"fulfilment:{number}", phase, updated_us),
    )
    await write(store, "INSERT INTO saga_data VALUES (?, '{}')", (number,))
    await write(store, "INSERT INTO made VALUES (?, ?, 't', x'')", (number, "a"), (number, "b"))
    line = "INSERT INTO journal VALUES (NULL, ?, 1, 1" + 12 * ", ''" + ")"
    await write(store, line, (number,), (number,))


async def kept(store: SqliteStore, table: str) -> list[object]:
    column = "id" if table == "sagas" else "saga"
    rows = await store.read(f"SELECT DISTINCT {column} AS saga FROM {table} ORDER BY 1")
    return [row["saga"] for row in rows]


async def sweep(store: SqliteStore, rule: Callable[[Settings, int], Plan[bool]]) -> None:
    while await store.run(partial(rule, SETTINGS, NOW_US)):
        pass


async def test_a_saga_that_ended_long_ago_goes_whole(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row, data, made commands and journal; open and young ones, and the last number, stay."""
    monkeypatch.setattr(retention, "SLICE", 2)
    phases = ("completed", "compensated", "running", "completed", "compensated", "completed")
    for number, phase in enumerate(phases, 1):
        await saga(store, number, phase, NOW_US if number == 4 else OLD_US)
    for rule in RULES:
        await sweep(store, rule)
    assert [await kept(store, table) for table in TABLES] == [[3, 4, 6]] * len(TABLES)


async def test_the_journal_of_a_saga_that_is_there_stands(store: SqliteStore) -> None:
    """The database refuses to delete or change a line while the saga has a row."""
    await saga(store, 1, "completed", OLD_US)
    for statement in ("DELETE FROM journal WHERE seq = ?", "UPDATE journal SET at_us = ?"):
        with pytest.raises(Constraint, match="append-only"):
            await write(store, statement, (1,))
    await write(store, "DELETE FROM sagas WHERE id = ?", (1,))
    with pytest.raises(Constraint, match="append-only"):
        await write(store, "UPDATE journal SET at_us = ?", (1,))
    await write(store, "DELETE FROM journal WHERE saga = ?", (1,))
    assert await kept(store, "journal") == []


async def test_old_verbs_go(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What became of a verb is kept as long as the journal."""
    monkeypatch.setattr(retention, "SLICE", 2)
    verbs = [(str(at), NOW_US if at == 5 else OLD_US) for at in range(1, 6)]
    insert = "INSERT INTO operator_verbs VALUES (?, 's', 'note', 'a', 'r', 'applied', 1, 1, ?)"
    await write(store, insert, *verbs)
    for rule in RULES:
        await sweep(store, rule)
    assert await store.read("SELECT id FROM operator_verbs") == [{"id": "5"}]


def test_the_orchestrator_brings_its_rules() -> None:
    """Its program names them, so that its process sweeps them."""
    assert PROGRAM.retention == RULES
