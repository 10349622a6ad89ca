"""What every store promises, asked of each: SQLite in memory, SQLite on disk, PostgreSQL."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from company import DirectStore

from services.chassis import postgres, sqlite
from services.chassis.store import (
    Conflict,
    Constraint,
    Plan,
    Select,
    Statement,
    Store,
    Unavailable,
    Write,
    WrongDatabase,
)
from tests.postgres_server import PostgresServer

T = TypeVar("T")
TABLE = "CREATE TABLE t (name TEXT PRIMARY KEY CHECK (name <> 'no'), n INTEGER, raw BLOB);\n"
PUT = Statement("put", "INSERT INTO t (name) VALUES (?)")
PUT_ALL = Statement("put_all", "INSERT INTO t (name, n, raw) VALUES (?, ?, ?)")
UPSERT = Statement(
    "upsert",
    "INSERT INTO t (name, n) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET n = t.n + ?2",
)
MOVE = Statement("move", "UPDATE t SET name = ? WHERE name = ?")
ALL = Statement("all", "SELECT name FROM t ORDER BY name")
KINDS = ("memory", "sqlite", "postgres")
KEPT = pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)


@dataclass(frozen=True)
class Place:
    """A database that can be opened, again and again, by whichever store it is for."""

    kind: str
    at: str
    folder: Path

    def open(self) -> AbstractAsyncContextManager[Store]:
        migrations = {"shop": self.folder}
        if self.kind == "postgres":
            return postgres.open_store(self.at, migrations)
        if self.kind == "sqlite":
            return sqlite.open_store(Path(self.at), migrations)
        return in_memory(migrations)


@asynccontextmanager
async def in_memory(migrations: Mapping[str, Path]) -> AsyncIterator[Store]:
    store = DirectStore(":memory:", migrations)
    yield store  # type: ignore[misc]
    await store.close()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_initial.sql").write_text(TABLE)
    kind = str(request.param)
    if kind == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        return Place(kind, server.make(), folder)
    return Place(kind, str(tmp_path / "a # b?c%20.db"), folder)


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Store]:
    async with place.open() as opened:
        yield opened


def put(*names: object) -> Callable[[], Plan[None]]:
    def plan() -> Plan[None]:
        yield Write(PUT, [(name,) for name in names], expect=len(names))  # type: ignore[misc]

    return plan


def names() -> Plan[list[object]]:
    rows = yield Select(ALL)
    return [name for (name,) in rows]


def asking(*asks: Select | Write) -> Callable[[], Plan[list[object]]]:
    """A plan of these alone; what each answered."""

    def plan() -> Plan[list[object]]:
        answers: list[object] = []
        for ask in asks:
            answers += [(yield ask)]
        return answers

    return plan


async def test_every_type_comes_back_as_it_went_in(store: Store) -> None:
    """Numbers of 64 bits, bytes with zeros, text of any script, and nothing at all."""
    rows = [("é ☃", -(1 << 63), b"\0\xff"), ("n", (1 << 63) - 1, None)]
    await store.run(asking(Write(PUT_ALL, rows, expect=2)))
    everything = Statement("everything", "SELECT name, n, raw FROM t ORDER BY name DESC")
    assert await store.run(asking(Select(everything))) == [rows]
    assert await store.read("SELECT n, raw FROM t WHERE name = ?", ["n"]) == [
        {"n": (1 << 63) - 1, "raw": None}
    ]
    assert await store.read("SELECT n FROM t WHERE name = :name", {"name": "é ☃"}) == [
        {"n": -(1 << 63)}
    ]


async def test_lists_and_pairs_are_one_parameter(store: Store) -> None:
    """Keys of both types, the keys left out, numbers of a list in their order, pairs by value."""
    await store.run(asking(Write(PUT_ALL, [("a", 1, None), ("b", 2, None), ("c", 3, None)])))
    by_name = Statement("by_name", "SELECT n FROM t WHERE name IN :keys ORDER BY n LIMIT ?")
    by_number = Statement("by_number", "SELECT n FROM t WHERE n NOT IN :keys ORDER BY n")
    listed = Statement("listed", "SELECT wanted.value + 10 FROM :list AS wanted")
    paired = Statement(
        "paired",
        "SELECT t.name FROM :pairs AS wanted CROSS JOIN t"
        " ON t.n = CAST(wanted.value ->> 0 AS BIGINT) AND t.name = wanted.value ->> 1",
    )
    assert await store.run(
        asking(
            Select(by_name, (["c", "a", "no\0ne"], 9)),
            Select(by_name, (["c", "a"], 1)),
            Select(by_name, ([], 9)),
            Select(by_number, ({2},)),
            Select(by_number, ((),)),
            Select(listed, (range(3),)),
            Select(paired, ([(3, "c"), (1, "c"), (2, "no\0ne")],)),
            Select(paired, ((),)),
        )
    ) == [
        [(1,), (3,)],
        [(1,)],
        [],
        [(1,), (3,)],
        [(1,), (2,), (3,)],
        [(10,), (11,), (12,)],
        [("c",)],
        [],
    ]


async def test_what_is_expected_is_counted_over_all_rows(store: Store) -> None:
    """A write of many rows says how many it hit, inserts and updates alike; too few is named."""
    await store.run(put("a", "b", "c"))
    await store.run(asking(Write(MOVE, [("x", "a"), ("y", "b")], expect=2)))
    await store.run(asking(Write(UPSERT, [("x", 1), ("z", 1)], expect=2)))
    with pytest.raises(Conflict, match=r"^move hit 2 of 3 rows$"):
        await store.run(asking(Write(MOVE, [("1", "x"), ("2", "gone"), ("3", "y")], expect=3)))
    await store.run(asking(Write(MOVE, [("x", "gone")]), Write(MOVE, [], expect=0)))
    assert await store.run(names) == ["c", "x", "y", "z"]


async def test_what_has_no_text_here_is_not_asked(store: Store) -> None:
    """It answers no rows, and the transaction goes on."""
    assert await store.run(asking(Select(Statement("none", "", ""), (["a"],)))) == [[]]


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ("conflict", Conflict),
        ("rule", Constraint),
        ("twice", Constraint),
        ("number", Constraint),
        ("type", Constraint),
        ("text", Constraint),
        ("table", Unavailable),
        ("raise", ZeroDivisionError),
    ],
)
async def test_whatever_fails_leaves_nothing_and_the_next_transaction_works(
    wrong: str, fault: type[BaseException], store: Store
) -> None:
    """A plan that fails in its middle is rolled back, and its fault has its own name."""
    asks: dict[str, Select | Write] = {
        "conflict": Write(MOVE, [("x", "nobody")], expect=1),
        "rule": Write(PUT, [("no",)]),
        "twice": Write(PUT, [("first",)]),
        "number": Write(PUT_ALL, [("n", 1 << 64, None)]),
        "type": Write(PUT, [(object(),)]),  # type: ignore[list-item]
        "text": Write(PUT, [("\ud800 canary",)]),
        "table": Select(Statement("none", "SELECT * FROM nowhere")),
    }

    def plan() -> Plan[None]:
        yield Write(PUT, [("first",)])
        if wrong not in asks:
            raise fault
        yield asks[wrong]

    with pytest.raises(fault) as failed:
        await store.run(plan)
    assert "canary" not in str(failed.value)
    assert await store.run(names) == []
    await store.run(put("next"))
    assert await store.run(names) == ["next"]


@KEPT
async def test_reads_cannot_write(store: Store) -> None:
    """The read side refuses any statement that changes something."""
    with pytest.raises(Unavailable, match=r"read-?only"):
        await store.read("INSERT INTO t (name) VALUES ('x')")
    assert await store.run(names) == []


@KEPT
async def test_a_cancelled_caller_leaves_no_open_transaction(store: Store) -> None:
    """It ends whole behind the cancelled caller, and the next one is not kept out."""
    task = asyncio.create_task(store.run(put("slow")))
    await asyncio.sleep(0)
    for _ in range(3):
        task.cancel()
        await asyncio.wait({task}, timeout=0)
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.run(put("next"))
    assert await store.run(names) == ["next", "slow"]


@KEPT
async def test_what_is_committed_is_there_at_the_next_opening(place: Place) -> None:
    """And nothing is migrated a second time."""
    async with place.open() as store:
        await store.run(put("a"))
    async with place.open() as store:
        assert await store.run(names) == ["a"]


@KEPT
async def test_a_migration_that_changed_is_refused(place: Place) -> None:
    """What was applied here is not what this release has: the file is named."""
    file = place.folder / "0001_initial.sql"
    async with place.open():
        pass
    file.write_text(TABLE + "-- changed\n")
    said = re.escape(f"the migration {file} changed after it was applied here")
    with pytest.raises(WrongDatabase, match=said):
        async with place.open():
            pass


@KEPT
async def test_a_migration_of_a_newer_release_is_refused(place: Place) -> None:
    """A database that a later release moved on is not worked on by this one."""
    later = place.folder / "0002_later.sql"
    later.write_text("ALTER TABLE t ADD COLUMN later TEXT;\n")
    async with place.open():
        pass
    later.unlink()
    with pytest.raises(WrongDatabase, match=r"shop/0002_later\.sql, which this release does not"):
        async with place.open():
            pass


@KEPT
@pytest.mark.parametrize(
    "broken", ["CREATE TABLE u (a TEXT);\nCREATE TABLE t (a TEXT);\n", "nonsense;\n"]
)
async def test_a_migration_that_fails_is_not_half_applied(broken: str, place: Place) -> None:
    """It leaves neither tables nor a line saying it was applied; mended, it applies."""
    second = place.folder / "0002_second.sql"
    second.write_text(broken)
    with pytest.raises(WrongDatabase, match=r"0002_second\.sql"):
        async with place.open():
            pass
    second.write_text("CREATE TABLE u (a TEXT);\n")
    async with place.open() as store:
        assert await store.read("SELECT * FROM u") == []
