"""The store on PostgreSQL: any number of processes on one database, one transaction a plan.

The one module that knows asyncpg. A plan is driven to its end between BEGIN and COMMIT on one
connection, READ COMMITTED: what two writers could both want is locked first or compared as it is
written (DECISIONS.md names every such place). What lost a deadlock, or a race to insert, is done
again whole. Cancelling the caller never cancels the transaction. A connection that dies during
COMMIT is InDoubt: who asks again loses his compare-and-set if it had landed, or reads all anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Container, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import asyncpg

from services.chassis import failpoints
from services.chassis.migrating import FILES, LEDGER, missing
from services.chassis.postgres_sql import bind, cell, ddl, translate
from services.chassis.store import (
    Absent,
    AlreadyRunning,
    Conflict,
    Constraint,
    Given,
    InDoubt,
    Plan,
    Row,
    Select,
    Statement,
    StoreError,
    Unavailable,
    Value,
    Write,
    WrongDatabase,
)

T = TypeVar("T")
_HERE = Path(__file__).parent
_OWN = "postgres"  # folder of the migrations that only this database needs
_WRITERS_MAX, _READERS_MAX = 4, 4
_ANSWER_WITHIN_S = 30.0
_TRIES, _BREATH_MS_MAX = 5, 40
_AGAIN_S = 1.0
# A process that was stopped in the middle of a transaction must not hold its rows for ever.
_SESSION = {"idle_in_transaction_session_timeout": "10000"}
# Deadlock, serialisation, and a key that another transaction inserted since this one looked.
_DO_AGAIN = ("40001", "40P01", "23505")
_NOT_YET = (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError)
_NEVER = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
)
_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
_LOCK = 0x6261746F6E  # of whoever migrates or repairs: the only advisory lock that is taken
_PROCESS, _READER, _REPAIR = "baton", "baton reader", "baton repair"  # whose session it is
_OTHERS = """
SELECT application_name FROM pg_stat_activity
WHERE datname = current_database() AND starts_with(application_name, 'baton-')
"""
_GONE_WITHIN = 50  # looks, a tenth of a second apart, for sessions of what has just ended
_VALUE = re.compile(r"""[:"']""")  # where a message about a value begins to quote it
_log = logging.getLogger(__name__)


class PostgresReader:
    """Reads a database that others write; made by `open_reader`."""

    def __init__(self, readers: asyncpg.Pool) -> None:
        self._readers = readers

    async def read(self, asked: Statement | str, params: Given = ()) -> list[dict[str, Value]]:
        text = translate(asked)
        try:
            async with self._readers.acquire() as connection:
                found = await connection.fetch(text.sql, *bind(text, params))
        except _FAULTS as error:
            raise _fault(error) from error
        return [dict(each) for each in found]


class PostgresStore(PostgresReader):
    """A `Store` over one database. Made by `open_store`."""

    def __init__(self, writers: asyncpg.Pool, readers: asyncpg.Pool) -> None:
        super().__init__(readers)
        self._writers = writers

    async def run(self, plan: Callable[[], Plan[T]]) -> T:
        return await _whole(self._attempts(plan))

    async def log_bytes(self) -> int:
        return 0  # the server's log is the server's to keep small

    async def close(self) -> None:
        for pool in (self._readers, self._writers):
            try:
                async with asyncio.timeout(_AGAIN_S):
                    await pool.close()
            except (*_FAULTS, TimeoutError):
                pool.terminate()

    async def _attempts(self, plan: Callable[[], Plan[T]]) -> T:
        for left in range(_TRIES - 1, -1, -1):
            try:
                return await self._transact(plan)
            except _FAULTS as error:
                if not left or getattr(error, "sqlstate", "") not in _DO_AGAIN:
                    raise _fault(error) from error
            await asyncio.sleep(secrets.randbelow(_BREATH_MS_MAX) / 1000)
        raise AssertionError("the last try returns or raises")

    async def _transact(self, plan: Callable[[], Plan[T]]) -> T:
        async with self._writers.acquire() as connection:
            await connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            try:
                result = await _steps(plan(), connection)
                failpoints.reached("before_commit")
                await _commit(connection)
                failpoints.reached("after_commit")
            except BaseException:
                await _roll_back(connection)
                raise
            return result


async def _whole(work: Coroutine[object, object, T]) -> T:
    """Cancelled or not, it ends as it would have; only then may the caller go."""
    running = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({running})
        if not running.cancelled():
            running.exception()  # nobody waits for it any more
        raise


async def _commit(connection: asyncpg.pool.PoolConnectionProxy) -> None:
    try:
        await connection.execute("COMMIT")
    except _FAULTS as error:
        fault = _fault(error)
        if isinstance(fault, Unavailable) and getattr(error, "sqlstate", "") not in _DO_AGAIN:
            raise InDoubt(str(fault)) from error
        raise


async def _roll_back(connection: asyncpg.pool.PoolConnectionProxy) -> None:
    """A fault on the way is not told: what led here is, and the wire with its session is gone."""
    try:
        if not connection.is_closed() and connection.is_in_transaction():
            await connection.execute("ROLLBACK")
    except _FAULTS:
        with contextlib.suppress(asyncpg.InterfaceError):
            connection.terminate()  # which the pool may have taken back already
    except BaseException:
        connection.terminate()
        raise


async def _steps(plan: Plan[T], connection: asyncpg.pool.PoolConnectionProxy) -> T:
    try:
        ask = next(plan)
        while True:
            ask = plan.send(await _perform(connection, ask))
    except StopIteration as end:
        result: T = end.value
        return result


async def _perform(connection: asyncpg.pool.PoolConnectionProxy, ask: Select | Write) -> list[Row]:
    text = translate(ask.statement)
    if not text.sql:
        return []
    if isinstance(ask, Select):
        return [tuple(row) for row in await connection.fetch(text.sql, *bind(text, ask.params))]
    rows = [[cell(value) for value in row] for row in ask.rows]
    if not rows:
        return []
    if ask.expect is None:
        await connection.executemany(text.sql, rows)
        return []
    hit = len(await connection.fetchmany(f"{text.sql} RETURNING 1", rows))
    if hit != ask.expect:
        raise Conflict(f"{ask.statement.name} hit {hit} of {ask.expect} rows")
    return []


def _fault(error: BaseException) -> StoreError:
    """By its name and the server's words, without the values that stand in them."""
    state = getattr(error, "sqlstate", None) or ""
    said = str(error.args[0]) if error.args else ""
    if state.startswith("22"):
        return Constraint(f"{type(error).__name__}: {_VALUE.split(said)[0]}")
    if state.startswith("23"):
        return Constraint(said)
    return Unavailable(f"{type(error).__name__}: {said}")


@asynccontextmanager
async def open_store(url: str, migrations: Mapping[str, Path]) -> AsyncIterator[PostgresStore]:
    """Wait for the server, migrate the database. `migrations`: owner → folder, as for SQLite.

    Raises WrongDatabase, which names the place but never the password.
    """
    writers = await _pool(url, _WRITERS_MAX)
    try:
        await _migrate_all(writers, _files({"chassis": _HERE / "migrations", **migrations}), url)
        readers = await _pool(url, _READERS_MAX, read_only=True)
    except BaseException:
        writers.terminate()
        raise
    store = PostgresStore(writers, readers)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def open_reader(url: str) -> AsyncIterator[PostgresReader]:
    """A database that other processes write, for reading only; Unavailable while it is away."""
    readers = await _pool(url, _READERS_MAX, read_only=True, own=_READER)
    try:
        yield PostgresReader(readers)
    finally:
        readers.terminate()


@asynccontextmanager
async def open_alone(url: str) -> AsyncIterator[PostgresStore]:
    """A database as it is, for repairs: while none of its program's processes has a session, and
    none that starts gets beyond its migrations.

    Raises AlreadyRunning; Unavailable and Absent, because nothing is waited for.
    """
    writers = await _pool(url, _WRITERS_MAX, own=_REPAIR)
    try:
        async with writers.acquire() as held:
            await _alone(held, url)
            yield PostgresStore(writers, writers)
    finally:
        writers.terminate()


async def _alone(held: asyncpg.pool.PoolConnectionProxy, url: str) -> None:
    try:
        await held.execute("SELECT pg_advisory_lock($1)", _LOCK)
        for _ in range(_GONE_WITHIN):
            others = sorted({str(row[0]) for row in await held.fetch(_OTHERS)})
            if not others:
                return
            await asyncio.sleep(0.1)
    except _FAULTS as error:
        raise _fault(error) from error
    raise AlreadyRunning(f"{place(url)} is in use by {', '.join(others)}")


def place(url: str) -> str:
    """The URL as a person may see it: where, and as whom, but without the secret."""
    parts = urlsplit(url)
    _, at, host = parts.netloc.rpartition("@")
    user = f"{parts.username}@" if at and parts.username else ""
    return f"postgresql://{user}{host}{parts.path}"


async def _pool(
    url: str, size: int, *, read_only: bool = False, own: str = _PROCESS
) -> asyncpg.Pool:
    """Only a process of the program waits for its server."""
    wait = own == _PROCESS
    settings = {
        **_SESSION,
        "application_name": f"{own}-{os.getpid()}",
        "default_transaction_read_only": "on" if read_only else "off",
    }
    told = ""
    while True:
        try:
            return await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=size,
                init=_begin,
                reset=_nothing,
                command_timeout=_ANSWER_WITHIN_S,
                max_inactive_connection_lifetime=0,
                server_settings=settings,
            )
        except (*_NEVER, *_NOT_YET) as error:
            said = _words(error, url)
            if not wait:
                kind = Absent if isinstance(error, asyncpg.InvalidCatalogNameError) else Unavailable
                raise kind(f"{type(error).__name__}: {said}") from None
            if isinstance(error, _NEVER):
                raise WrongDatabase(f"{place(url)} cannot be used: {said}") from None
            if said != told:
                told = said
                _log.warning("waiting for PostgreSQL", extra={"reason": f"{place(url)}: {told}"})
            await asyncio.sleep(_AGAIN_S)


def _words(error: BaseException, url: str) -> str:
    secret = urlsplit(url).password
    said = str(error) or type(error).__name__
    return said.replace(secret, "…") if secret else said


async def _begin(connection: asyncpg.Connection) -> None:
    """A commit that was answered is on the disk, and a sum of integers is an integer."""
    await connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false)"
        " WHERE current_setting('synchronous_commit') = 'off'"
    )
    await connection.set_type_codec(
        "numeric", schema="pg_catalog", encoder=str, decoder=_number, format="text"
    )


async def _nothing(connection: asyncpg.pool.PoolConnectionProxy) -> None:
    """No session state is ever changed, so none is to be reset: that would cost a round trip."""


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def _files(folders: Mapping[str, Path]) -> dict[str, list[Path]]:
    return {
        owner: [*folder.glob(FILES), *(folder / _OWN).glob(FILES)]
        for owner, folder in folders.items()
    }


async def _migrate_all(pool: asyncpg.Pool, found: Mapping[str, Sequence[Path]], url: str) -> None:
    """All that is missing or nothing, and one process at a time; the others then find it done."""
    try:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            await connection.execute(LEDGER)
            await _refuse_strangers(connection, found, url)
            for owner, files in found.items():
                await _migrate(connection, owner, files)
    except _FAULTS as error:
        raise _fault(error) from error


async def _refuse_strangers(
    connection: asyncpg.pool.PoolConnectionProxy, owners: Container[str], url: str
) -> None:
    """SQLite's lock file, where a database may have many processes: of one program only."""
    rows = await connection.fetch("SELECT DISTINCT owner FROM migrations ORDER BY owner")
    others = [str(row[0]) for row in rows if row[0] not in owners]
    if others:
        raise WrongDatabase(
            f"{place(url)} belongs to {', '.join(others)}: every program has a database of its"
            " own, which its processes share. Give this one its own BATON_DATABASE."
        )


async def _migrate(
    connection: asyncpg.pool.PoolConnectionProxy, owner: str, files: Sequence[Path]
) -> None:
    """The folder's files translated, and those under `postgres` as they are."""
    rows = await connection.fetch("SELECT name, sha256 FROM migrations WHERE owner = $1", owner)
    applied: Mapping[str, str] = {str(name): str(digest) for name, digest in rows}
    for step in missing(owner, files, applied):
        text = step.text if step.file.parent.name == _OWN else ddl(step.text)
        try:
            await connection.execute(f"{text}\n;{step.note}")
        except asyncpg.PostgresError as error:
            raise WrongDatabase(f"the migration {step.file} cannot be applied: {error}") from error
