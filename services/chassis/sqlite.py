"""The store on SQLite: one writer connection, one thread, one closure per transaction.

The one module that knows aiosqlite. A plan is driven to its end on the connection's own thread
between BEGIN IMMEDIATE and COMMIT, so that a batch costs one hop and nobody else's statement can
stand inside it. Cancelling the caller never cancels the transaction: it ends either way, whole.
Durability: WAL with synchronous=FULL, so what is committed survives the loss of power.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import functools
import logging
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import aiosqlite
import orjson

from services.chassis import failpoints
from services.chassis.filesystem import network_filesystem
from services.chassis.migrating import FILES, LEDGER, missing
from services.chassis.store import (
    AlreadyRunning,
    Conflict,
    Constraint,
    Given,
    Param,
    Plan,
    Row,
    Select,
    Statement,
    Unavailable,
    Value,
    Write,
    WrongDatabase,
)

T = TypeVar("T")
_HERE = Path(__file__).parent
# What a row holds that no column takes: too large, half a character, no SQL type, against a rule.
_NOT_THE_STORES = (
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
    OverflowError,
    UnicodeError,
)
_LOG_BYTES_MAX = 64 * 1024 * 1024
_SOUND = (3, 51, 3)
_log = logging.getLogger(__name__)


@functools.lru_cache(maxsize=1024)
def _dialect(sql: str) -> tuple[str, str]:
    """As SQLite says it, and for `IN :keys` of one key, which it looks up three times as fast."""
    for name in (":pairs", ":list"):
        sql = sql.replace(name, "json_each(?)")
    many = sql.replace("IN :keys", "IN (SELECT value FROM json_each(?))")
    return many, sql.replace("IN :keys", "IN (?)") if ":keys" in sql else ""


def _param(value: Param) -> Value:
    if isinstance(value, (list, tuple, range, set, frozenset)):
        return orjson.dumps(list(value)).decode()
    return value  # type: ignore[return-value]


class SqliteStore:
    """A `Store` over one file. Made by `open_store`, which holds the file's lock."""

    def __init__(self, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self._writer = writer
        self._reader = reader

    async def run(self, plan: Callable[[], Plan[T]]) -> T:
        return await _whole(self._writer, functools.partial(_drive, plan))

    async def read(self, asked: Statement | str, params: Given = ()) -> list[dict[str, Value]]:
        return await _whole(self._reader, functools.partial(_rows, asked, params))

    async def log_bytes(self) -> int:
        """Size of the write-ahead log; above 64 MB it is checkpointed and cut first."""
        return await _whole(self._writer, _trim_log)

    async def close(self) -> None:
        await self._reader.close()
        await self._writer.close()


class SqliteReader:
    """Reads another process's file; made by `open_reader`."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def read(self, asked: Statement | str, params: Given = ()) -> list[dict[str, Value]]:
        return await _whole(self._connection, functools.partial(_rows, asked, params))


async def _whole(connection: aiosqlite.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    # aiosqlite runs single calls on its thread; the closure needs its queue and its connection.
    running = asyncio.ensure_future(
        connection._execute(lambda: work(connection._conn))  # type: ignore[no-untyped-call]  # noqa: SLF001
    )
    try:
        result: T = await asyncio.shield(running)
    except asyncio.CancelledError:
        # The transaction ends as it would have; only then may the caller go.
        with contextlib.suppress(Exception):
            await running
        raise
    return result


def _drive(plan: Callable[[], Plan[T]], connection: sqlite3.Connection) -> T:
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = _steps(plan(), connection)
            failpoints.reached("before_commit")
            connection.execute("COMMIT")
            failpoints.reached("after_commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    except _NOT_THE_STORES as error:
        raise Constraint(str(error)) from error
    except sqlite3.Error as error:
        raise Unavailable(f"{type(error).__name__}: {error}") from error
    return result


def _steps(plan: Plan[T], connection: sqlite3.Connection) -> T:
    rows: list[Row] = []
    try:
        ask = next(plan)
        while True:
            rows = _perform(connection, ask)
            ask = plan.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result


def _perform(connection: sqlite3.Connection, ask: Select | Write) -> list[Row]:
    sql, of_one = _dialect(ask.statement.sql)
    if not sql:
        return []
    if isinstance(ask, Select):
        if of_one and len(ask.params) == 1 and len(ask.params[0]) == 1:  # type: ignore[arg-type]
            return connection.execute(of_one, list(ask.params[0])).fetchall()  # type: ignore[arg-type]
        return connection.execute(sql, [_param(each) for each in ask.params]).fetchall()
    if not ask.rows:
        return []
    hit = connection.executemany(sql, ask.rows).rowcount
    if ask.expect is not None and hit != ask.expect:
        raise Conflict(f"{ask.statement.name} hit {hit} of {ask.expect} rows")
    return []


def _rows(
    asked: Statement | str, params: Given, connection: sqlite3.Connection
) -> list[dict[str, Value]]:
    sql = asked if isinstance(asked, str) else asked.sql
    try:
        found = connection.execute(sql, params)
        names = [each[0] for each in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    except sqlite3.ProgrammingError:
        raise
    except sqlite3.DatabaseError as error:
        raise Unavailable(str(error)) from error


def _trim_log(connection: sqlite3.Connection) -> int:
    try:
        return _trimmed(connection)
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(str(error)) from error


def _trimmed(connection: sqlite3.Connection) -> int:
    file = connection.execute("PRAGMA database_list").fetchone()[2]
    log = Path(f"{file}-wal")
    if log.exists() and log.stat().st_size > _LOG_BYTES_MAX:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return log.stat().st_size if log.exists() else 0


@asynccontextmanager
async def open_store(
    path: Path, migrations: Mapping[str, Path], *, durable: bool = True
) -> AsyncIterator[SqliteStore]:
    """Open, lock and migrate the file. `migrations`: owner → folder, besides the chassis's own.

    Raises AlreadyRunning (naming the file and its lock), WrongDatabase, and Unavailable while the
    disk is full or fails: then nothing is left open, and it may be tried again.
    """
    _refuse_network(path)
    with contextlib.ExitStack() as held:
        with _faults_named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(path))
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            store = await _opened(path, migrations, durable=durable)
        warn_of_old_sqlite()
        try:
            yield store
        finally:
            await store.close()


async def _opened(path: Path, migrations: Mapping[str, Path], *, durable: bool) -> SqliteStore:
    writer = await aiosqlite.connect(path, isolation_level=None)
    try:
        await _prepare(writer, durable=durable)
        for owner, folder in {"chassis": _HERE / "migrations", **migrations}.items():
            await _whole(writer, functools.partial(_migrate, owner, folder))
        reader = await aiosqlite.connect(_read_only(path), uri=True, isolation_level=None)
        await reader.execute("PRAGMA query_only = 1")
    except BaseException:
        await writer.close()
        raise
    return SqliteStore(writer, reader)


@contextlib.contextmanager
def _faults_named(path: Path) -> Iterator[None]:
    """Whether it passes when the disk has room again, or needs somebody to change something."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        name = getattr(error, "sqlite_errorname", "")
        said = f"{error} ({name})" if name else getattr(error, "strerror", "") or str(error)
        if _passes(error):
            raise Unavailable(
                f"{path} cannot be written: {said}; df -h {path.parent} shows the room"
            ) from error
        if isinstance(error, OSError):
            raise WrongDatabase(
                f"{path} cannot be written: {said}. Let the user of this process write it,"
                " or name another file in BATON_DATABASE."
            ) from error
        raise WrongDatabase(f"{path} cannot be used: {said}") from error


def _passes(error: Exception) -> bool:
    """A full or failing disk and a lock of somebody else, whatever they kept SQLite from."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
    kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return kind in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY)


def _refuse_network(path: Path) -> None:
    if kind := network_filesystem(path):
        raise WrongDatabase(
            f"{path} lies on a network file system ({kind}), where locks do not keep a second"
            " machine out: set BATON_HOME or BATON_DATABASE to a disk of this machine"
        )


def warn_of_old_sqlite(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> None:
    """Said once a start; one writer a file, which alone checkpoints, is what we do about it."""
    if version < _SOUND:
        _log.warning(
            "this Python's SQLite is old",
            extra={
                "reason": f"SQLite {_dotted(version)}: before {_dotted(_SOUND)} a rare race of two"
                " checkpoints can corrupt a write-ahead log; use a Python that links a newer one"
            },
        )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


@asynccontextmanager
async def open_reader(path: Path) -> AsyncIterator[SqliteReader]:
    """A database that another process writes, for reading only; Unavailable while there is none.

    Every read is a transaction of its own, so that the writer's log can be checkpointed.
    """
    try:
        connection = await aiosqlite.connect(_read_only(path), uri=True, isolation_level=None)
    except sqlite3.OperationalError as error:
        raise Unavailable(f"{error}: {path}") from error
    try:
        await connection.execute("PRAGMA query_only = 1")
        await connection.execute("PRAGMA busy_timeout = 2000")
        yield SqliteReader(connection)
    finally:
        await connection.close()


def _read_only(path: Path) -> str:
    """As a URI, in which no character of the path means anything else.

    A missing file is refused here: a connection that fails leaves its thread behind for a moment.
    """
    if not path.exists():
        raise Unavailable(f"unable to open database file: {path}")
    return f"{path.absolute().as_uri()}?mode=ro"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with Path(f"{path}.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyRunning(
                f"{path} is in use by another process (it holds {path}.lock). SQLite serves one"
                " process a file: stop the other one, or give this one its own BATON_DATABASE."
            ) from error
        yield


async def _prepare(writer: aiosqlite.Connection, *, durable: bool) -> None:
    settings = {
        "journal_mode": "WAL",
        "synchronous": "FULL" if durable else "OFF",
        "busy_timeout": "5000",
        "cache_size": "-4096",
        "wal_autocheckpoint": "2000",
        "temp_store": "MEMORY",
    }
    if sys.platform == "darwin":
        settings |= {"fullfsync": "1", "checkpoint_fullfsync": "1"}
    for name, value in settings.items():
        await writer.execute_fetchall(f"PRAGMA {name} = {value}")


def _migrate(owner: str, folder: Path, connection: sqlite3.Connection) -> None:
    connection.execute(LEDGER)
    found = connection.execute("SELECT name, sha256 FROM migrations WHERE owner = ?", (owner,))
    for step in missing(owner, folder.glob(FILES), dict(found.fetchall())):
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{step.text}\n{step.note};\nCOMMIT;")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if _passes(error):
                raise
            raise WrongDatabase(f"the migration {step.file} cannot be applied: {error}") from error
