"""The store on SQLite: one process a file, whole transactions, migrations that are never half."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from services.chassis import sqlite
from services.chassis.sqlite import open_reader, open_store
from services.chassis.store import (
    AlreadyRunning,
    Plan,
    Select,
    Statement,
    Unavailable,
    Write,
    WrongDatabase,
)

PUT = Statement("put", "INSERT INTO t (name) VALUES (?)")
MOVE = Statement("move", "UPDATE t SET name = ? WHERE name = ?")
ALL = Statement("all", "SELECT name FROM t ORDER BY name")
TABLE = "CREATE TABLE t (name TEXT PRIMARY KEY CHECK (name <> 'no'));\n"


@pytest.fixture
def migrations(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_initial.sql").write_text(TABLE)
    return {"shop": folder}


def put(*names: object) -> Callable[[], Plan[None]]:
    def plan() -> Plan[None]:
        yield Write(PUT, [(name,) for name in names], expect=len(names))  # type: ignore[misc]

    return plan


def names() -> Plan[list[object]]:
    rows = yield Select(ALL)
    return [name for (name,) in rows]


async def test_a_second_process_on_a_file_is_refused_with_what_to_do(
    tmp_path: Path, migrations: dict[str, Path]
) -> None:
    """The message names the file, its lock and the setting; the first goes on; later it is free."""
    path = tmp_path / "a # b?c%20.db"
    said = re.escape(
        f"{path} is in use by another process (it holds {path}.lock). SQLite serves one process"
        " a file: stop the other one, or give this one its own BATON_DATABASE."
    )
    async with open_store(path, migrations) as store:
        with pytest.raises(AlreadyRunning, match=f"^{said}$"):
            async with open_store(path, migrations):
                pass
        await store.run(put("a"))
        assert await store.read("SELECT name FROM t") == [{"name": "a"}]
    async with open_store(path, migrations) as store, open_reader(path) as reader:
        assert await reader.read("SELECT name FROM t") == await store.read("SELECT name FROM t")


async def test_a_disk_of_several_machines_is_refused(
    tmp_path: Path, migrations: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its locks would not keep the other machine out; nothing is made there."""
    monkeypatch.setattr(sqlite, "network_filesystem", lambda _path: "nfs4")
    path = tmp_path / "shared" / "a.db"
    with pytest.raises(WrongDatabase) as refused:
        async with open_store(path, migrations):
            pass
    assert str(refused.value) == (
        f"{path} lies on a network file system (nfs4), where locks do not keep a second machine"
        " out: set BATON_HOME or BATON_DATABASE to a disk of this machine"
    )
    assert not path.parent.exists()


def test_an_old_sqlite_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """With what it may do and what to do about it; one that is mended is not."""
    for version in ((3, 51, 3), (4, 0, 0), (3, 51, 2)):
        sqlite.warn_of_old_sqlite(version)
    (reason,) = (vars(each)["reason"] for each in caplog.records)
    assert reason == (
        "SQLite 3.51.2: before 3.51.3 a rare race of two checkpoints can corrupt a write-ahead log;"
        " use a Python that links a newer one"
    )


async def test_what_is_committed_survives_the_loss_of_power(
    tmp_path: Path, migrations: dict[str, Path]
) -> None:
    """The writer waits for the disk at every commit, and the log is written ahead."""
    async with open_store(tmp_path / "a.db", migrations) as store:

        def pragmas() -> Plan[list[object]]:
            found = []
            for name in ("journal_mode", "synchronous"):
                found += yield Select(Statement("pragma", f"PRAGMA {name}"))
            return [value for (value,) in found]

        assert await store.run(pragmas) == ["wal", 2]


def test_a_process_told_to_end_leaves_nothing_open(
    tmp_path: Path, migrations: dict[str, Path]
) -> None:
    """Even what is no exception of a program rolls the transaction back."""

    def plan() -> Plan[None]:
        yield Write(PUT, [("first",)])
        raise KeyboardInterrupt

    connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    with closing(connection):
        sqlite._migrate("shop", migrations["shop"], connection)
        with pytest.raises(KeyboardInterrupt):
            sqlite._drive(plan, connection)
        assert not connection.in_transaction
        assert sqlite._drive(names, connection) == []


@pytest.mark.parametrize("cancels", [1, 3])
async def test_cancelling_a_caller_leaves_no_open_transaction(
    cancels: int, tmp_path: Path, migrations: dict[str, Path]
) -> None:
    """The transaction ends whole behind the cancelled caller, and the next one is not kept out."""
    began, go = threading.Event(), threading.Event()

    def slow() -> Plan[None]:
        yield Write(PUT, [("slow",)])
        began.set()
        assert go.wait(5)
        yield Write(PUT, [("whole",)])

    async with open_store(tmp_path / "a.db", migrations) as store:
        task = asyncio.create_task(store.run(slow))
        await asyncio.to_thread(began.wait)
        for _ in range(cancels):
            task.cancel()
            await asyncio.wait({task}, timeout=0)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await store.run(put("next"))
        assert await store.run(names) == ["next", "slow", "whole"]


def test_a_migration_is_written_down_in_the_transaction_that_applies_it(
    tmp_path: Path, migrations: dict[str, Path]
) -> None:
    """Killed at any statement, a migration is applied and noted, or neither."""
    applied = set[tuple[int, int]]()
    for steps in range(40):
        connection = sqlite3.connect(tmp_path / f"{steps}.db", isolation_level=None)
        seen = 0

        def die(_: str, steps: int = steps, connection: sqlite3.Connection = connection) -> None:
            nonlocal seen
            seen += 1
            if seen > steps:
                connection.interrupt()

        connection.set_trace_callback(die)
        with closing(connection), suppress(sqlite3.Error, WrongDatabase):
            sqlite._migrate("shop", migrations["shop"], connection)
        with closing(sqlite3.connect(tmp_path / f"{steps}.db")) as after:
            tables = {name for (name,) in after.execute("SELECT name FROM sqlite_master")}
            noted = 0
            if "migrations" in tables:
                ((noted,),) = after.execute("SELECT count(*) FROM migrations")
            applied.add((int("t" in tables), noted))
    assert applied <= {(0, 0), (1, 1)}


async def test_a_file_that_is_no_database_is_refused(
    tmp_path: Path, migrations: dict[str, Path]
) -> None:
    """Something else under the database's name is not touched, and the error names it."""
    path = tmp_path / "a.db"
    path.write_bytes(b"this is a letter, not a database; " * 100)
    with pytest.raises(WrongDatabase, match=re.escape(str(path))):
        async with open_store(path, migrations):
            pass
    assert path.read_bytes().startswith(b"this is a letter")


async def test_a_database_that_may_not_be_written_says_so(
    tmp_path: Path, migrations: dict[str, Path]
) -> None:
    """A folder in its place: the error names the path, the reason, and what to do."""
    (path := tmp_path / "a.db").mkdir()
    said = (
        f"{path} cannot be written: Is a directory. Let the user of this process write it,"
        " or name another file in BATON_DATABASE."
    )
    with pytest.raises(WrongDatabase, match=f"^{re.escape(said)}$"):
        async with open_store(path, migrations):
            pass


async def test_a_database_that_is_not_there_yet_cannot_be_read(tmp_path: Path) -> None:
    """A reader never makes the file that it wants to read."""
    with pytest.raises(Unavailable, match="unable to open database file"):
        async with open_reader(tmp_path / "none.db"):
            pass
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("wanted", [[], ["a"], ["b"], ["a", "c"], ["x"], ["a", "a"]])
@pytest.mark.parametrize("word", ["IN", "NOT IN"])
def test_keys_mean_the_same_however_many_there_are(wanted: list[str], word: str) -> None:
    """One key is asked for in another way than several, with the same answer."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE letters (name TEXT PRIMARY KEY)")
    connection.executemany("INSERT INTO letters VALUES (?)", [("a",), ("b",), ("c",)])
    sql = f"SELECT name FROM letters WHERE name {word} :keys ORDER BY name"

    rows = sqlite._perform(connection, Select(Statement("letters", sql), (wanted,)))

    assert [name for (name,) in rows] == [
        each for each in ("a", "b", "c") if (each in wanted) is (word == "IN")
    ]


@pytest.mark.parametrize(
    ("damaged", "told"),
    [(b"no database" * 400, "file is not a database"), (None, "database disk image is malformed")],
)
async def test_a_damaged_database_cannot_be_read_and_says_so(
    tmp_path: Path, damaged: bytes | None, told: str
) -> None:
    """Whoever reads it waits, or tells somebody; no fault of SQLite's reaches it."""
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE a (b TEXT)")
        made.execute("INSERT INTO a VALUES ('c')")
        made.commit()
    whole = path.read_bytes()
    path.write_bytes(damaged or whole[:4096] + b"\xff" * (len(whole) - 4096))
    async with open_reader(path) as reader:
        with pytest.raises(Unavailable, match=told):
            await reader.read("SELECT b FROM a")
