"""What is PostgreSQL's alone: many processes on one database, and a server that goes away."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

import asyncpg
import pytest
from company import CHASSIS

from services.chassis.migrating import FILES
from services.chassis.postgres import PostgresStore, open_store, place
from services.chassis.store import (
    Conflict,
    InDoubt,
    Plan,
    Select,
    Statement,
    Unavailable,
    Write,
    WrongDatabase,
)
from tests.cut_wire import cut_wire
from tests.postgres_server import PostgresServer

TABLE = "CREATE TABLE t (name TEXT PRIMARY KEY, n INTEGER NOT NULL);\n"
PUT = Statement("put", "INSERT INTO t (name, n) VALUES (?, ?)")
FIND = Statement("find", "SELECT n FROM t WHERE name = ?")
LOCK = Statement("lock", "", "SELECT n FROM t WHERE name = ? FOR UPDATE")
ADD = Statement("add", "UPDATE t SET n = n + 1 WHERE name = ?")
STEP = Statement("step", "UPDATE t SET n = ? WHERE name = ? AND n = ?")


@pytest.fixture
def migrations(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_initial.sql").write_text(TABLE)
    return {"shop": folder}


@pytest.fixture
def url(postgres_server: PostgresServer) -> str:
    return postgres_server.make()


@pytest.fixture
async def two(
    url: str, migrations: dict[str, Path]
) -> AsyncIterator[tuple[PostgresStore, PostgresStore]]:
    """Two processes on one database, which has the rows a and b at 0."""
    async with open_store(url, migrations) as one, open_store(url, migrations) as other:
        await one.run(put(("a", 0), ("b", 0)))
        yield one, other


def put(*rows: tuple[str, int]) -> Callable[[], Plan[None]]:
    def plan() -> Plan[None]:
        yield Write(PUT, rows, expect=len(rows))

    return plan


async def test_many_processes_migrate_once(url: str, migrations: dict[str, Path]) -> None:
    """Started together on a new database, one applies the files and the others find it done."""
    async with AsyncExitStack() as stack:
        opening = [stack.enter_async_context(open_store(url, migrations)) for _ in range(4)]
        stores = await asyncio.gather(*opening)
        noted = await stores[0].read("SELECT owner, name FROM migrations ORDER BY owner, name")
    found = [f"{row['owner']}/{row['name']}" for row in noted]
    chassis = sorted(file.name for file in [*CHASSIS.glob(FILES), *CHASSIS.glob(f"*/{FILES}")])
    assert found == [*(f"chassis/{each}" for each in chassis), "shop/0001_initial.sql"]


async def test_another_programs_database_is_refused(url: str, migrations: dict[str, Path]) -> None:
    """Two programs on one database would take each other's offsets for their own."""
    async with open_store(url, migrations):
        pass
    said = (
        f"{place(url)} belongs to shop: every program has a database of its own, which its"
        " processes share. Give this one its own BATON_DATABASE."
    )
    with pytest.raises(WrongDatabase, match=f"^{re.escape(said)}$"):
        async with open_store(url, {"bakery": migrations["shop"]}):
            pass


async def test_a_password_is_never_told(postgres_server: PostgresServer) -> None:
    """What cannot be used is named by host, port, user and database."""
    port = postgres_server.port
    with pytest.raises(WrongDatabase) as refused:
        async with open_store(f"postgresql://eve:hidden@127.0.0.1:{port}/nowhere", {}):
            pass
    assert str(refused.value).startswith(
        f"postgresql://eve@127.0.0.1:{port}/nowhere cannot be used:"
    )
    assert "hidden" not in str(refused.value)
    assert place("postgres://h/db?password=hidden") == "postgresql://h/db"


async def test_a_server_that_is_away_at_the_start_is_waited_for(
    postgres_server: PostgresServer,
    url: str,
    migrations: dict[str, Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As Kafka is; the log says where, and the process goes on when it answers."""
    await asyncio.to_thread(postgres_server.end)
    async with AsyncExitStack() as stack:
        try:
            task = asyncio.create_task(stack.enter_async_context(open_store(url, migrations)))
            async with asyncio.timeout(30):
                while not caplog.records:  # noqa: ASYNC110
                    await asyncio.sleep(0)
        finally:
            await asyncio.to_thread(postgres_server.begin)
        store = await task
        assert await store.read("SELECT 1 AS n") == [{"n": 1}]
    assert {each.getMessage() for each in caplog.records} == {"waiting for PostgreSQL"}
    assert caplog.records[0].reason.startswith(f"{place(url)}: ")  # type: ignore[attr-defined]


async def test_a_deadlock_is_nobodys_fault(two: tuple[PostgresStore, PostgresStore]) -> None:
    """Who lost one is done again whole: both transactions are there in the end."""
    first, second, tries = asyncio.Event(), asyncio.Event(), Counter[str]()

    def crosswise(names: str, mine: asyncio.Event) -> Callable[[], Plan[None]]:
        def plan() -> Plan[None]:
            tries[names] += 1
            yield Write(ADD, [(names[0],)], expect=1)
            mine.set()
            yield Select(Statement("nap", "", "SELECT 1 FROM pg_sleep(0.2)"))
            yield Write(ADD, [(names[1],)], expect=1)

        return plan

    one, other = two
    await asyncio.gather(one.run(crosswise("ab", first)), other.run(crosswise("ba", second)))
    assert await one.read("SELECT n FROM t") == [{"n": 2}, {"n": 2}]
    assert sum(tries.values()) == 3


async def test_a_row_that_another_inserted_first_is_loaded_the_next_time(
    two: tuple[PostgresStore, PostgresStore],
) -> None:
    """Both found no row; the one that comes second waits, and then adds instead of inserting."""

    def count_up() -> Plan[int]:
        found = yield Select(FIND, ("new",))
        yield Select(Statement("nap", "", "SELECT 1 FROM pg_sleep(0.1)"))
        if found:
            yield Write(ADD, [("new",)], expect=1)
        else:
            yield Write(PUT, [("new", 1)], expect=1)
        return len(found)

    one, other = two
    found = await asyncio.gather(one.run(count_up), other.run(count_up))
    assert sorted(found) == [0, 1]
    assert await one.read("SELECT n FROM t WHERE name = 'new'") == [{"n": 2}]


async def test_a_compare_and_set_has_one_winner(two: tuple[PostgresStore, PostgresStore]) -> None:
    """Two owners of one offset wait for each other at the row; the second is told, each time."""
    won = Counter[int]()

    def step(at: int) -> Callable[[], Plan[None]]:
        def plan() -> Plan[None]:
            yield Write(STEP, [(at + 1, "a", at)], expect=1)

        return plan

    async def race(who: int, at: int) -> bool:
        try:
            await two[who].run(step(at))
        except Conflict:
            return False
        won[who] += 1
        return True

    for at in range(100):
        assert sorted(await asyncio.gather(race(0, at), race(1, at))) == [False, True]
    assert await two[0].read("SELECT n FROM t WHERE name = 'a'") == [{"n": 100}]
    assert won.total() == 100


async def test_a_session_that_is_ended_is_unavailable_and_the_next_one_works(
    two: tuple[PostgresStore, PostgresStore],
) -> None:
    """An administrator, a restart, a network: nothing is kept, and it can be asked again."""
    end = Statement("end", "", "SELECT pg_terminate_backend(pg_backend_pid())")

    def dies() -> Plan[None]:
        yield Write(ADD, [("a",)], expect=1)
        yield Select(end)
        yield Write(ADD, [("b",)], expect=1)

    one, _ = two
    with pytest.raises(Unavailable):
        await one.run(dies)
    assert await one.read("SELECT n FROM t") == [{"n": 0}, {"n": 0}]
    await one.run(put(("next", 1)))


async def test_a_server_that_crashed_keeps_what_it_had_answered(
    postgres_server: PostgresServer, two: tuple[PostgresStore, PostgresStore]
) -> None:
    """While it is away everything is Unavailable; then the same stores go on."""
    one, _ = two
    await one.run(put(("kept", 1)))
    await asyncio.to_thread(postgres_server.end, "immediate")
    for _ in range(3):
        with pytest.raises(Unavailable):
            await one.run(put(("lost", 1)))
        with pytest.raises(Unavailable):
            await one.read("SELECT 1")
    await asyncio.to_thread(postgres_server.begin)
    names = [row["name"] for row in await one.read("SELECT name FROM t ORDER BY name")]
    assert names == ["a", "b", "kept"]
    await one.run(put(("next", 1)))


@pytest.mark.parametrize(("lost", "landing"), [("COMMIT", 0), ("its answer", 100)])
async def test_a_wire_cut_at_the_commit_never_applies_twice(
    lost: str, landing: int, url: str, migrations: dict[str, Path]
) -> None:
    """Cut before the server hears COMMIT, or before its answer: in doubt either way, and who
    compares as he writes is told by a Conflict that the first attempt landed."""
    landed = 0
    async with (
        cut_wire(url, before=lost == "COMMIT") as wire,
        open_store(wire.url, migrations) as store,
    ):
        await store.run(put(("a", 0)))

        def step(at: int) -> Callable[[], Plan[None]]:
            def plan() -> Plan[None]:
                yield Write(STEP, [(at + 1, "a", at)], expect=1)

            return plan

        for at in range(100):
            wire.cut_next()
            with pytest.raises(InDoubt):
                await store.run(step(at))
            try:
                await store.run(step(at))
            except Conflict:
                landed += 1
        assert await store.read("SELECT n FROM t WHERE name = 'a'") == [{"n": 100}]
    assert wire.cuts == 100
    assert landed == landing


class Dying:
    """A pool whose server is shut down at a COMMIT, and away when ROLLBACK is asked for."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Self]:
        yield self

    async def execute(self, text: str) -> None:
        self.told.append(text.partition(" ")[0])
        if text == "COMMIT":
            raise asyncpg.AdminShutdownError("terminating connection")
        if text == "ROLLBACK":
            raise asyncpg.ConnectionDoesNotExistError("connection was closed")

    def is_closed(self) -> bool:
        return False

    def is_in_transaction(self) -> bool:
        return True

    def terminate(self) -> None:
        self.told.append("terminate")


async def test_a_server_that_shuts_down_at_the_commit_leaves_it_in_doubt() -> None:
    """Whatever becomes of what is tried afterwards."""
    pool = Dying()
    with pytest.raises(InDoubt, match=r"^AdminShutdownError: terminating connection$"):
        await PostgresStore(pool, pool).run(put())  # type: ignore[arg-type]
    assert pool.told == ["BEGIN", "COMMIT", "ROLLBACK", "terminate"]


async def test_a_stopped_process_does_not_hold_its_rows_for_ever(
    two: tuple[PostgresStore, PostgresStore],
) -> None:
    """The server ends a session that stands still in a transaction, sooner than callers give up."""
    idle = Statement("idle", "", "SHOW idle_in_transaction_session_timeout")

    def shown() -> Plan[object]:
        return (yield Select(idle))[0][0]

    assert await two[0].run(shown) == "10s"
