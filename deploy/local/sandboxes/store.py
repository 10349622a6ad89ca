"""The sandboxes' memory: one SQLite file, one writing thread, group commit.

What waits when the writer is free is committed together, so hundreds of requests a second share
a few real flushes. `once` is the idempotency of every POST: the first answer to a key is kept for
ever with its effect in the same transaction, and a repeated key gets that answer again.
"""

from __future__ import annotations

import asyncio
import json
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
Effect = Callable[[sqlite3.Connection], "Reply"]
BATCH_MAX = 500

_CALLS = """
CREATE TABLE IF NOT EXISTS call (
  key TEXT PRIMARY KEY, request TEXT NOT NULL, tries INTEGER NOT NULL, status INTEGER, body TEXT
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer. `tries` counts the requests seen with this key, this one included."""

    status: int
    body: dict[str, object]
    replayed: bool = False
    tries: int = 1


def refuse(status: int, error: str) -> Reply:
    return Reply(status, {"error": error})


@dataclass(frozen=True, slots=True)
class Keyed:
    """A request under its idempotency key; `request` identifies what was asked."""

    key: str
    request: str


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[sqlite3.Connection], object]
    future: Future[object]


class SandboxStore:
    """`run` returns after the commit; a job that raises is undone alone."""

    def __init__(self, path: Path, schema: str) -> None:
        self._path = path
        self._schema = schema
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._opened: Future[object] = Future()
        self._thread = threading.Thread(target=self._write, name="sandbox-store", daemon=True)

    async def open(self) -> None:
        self._thread.start()
        await asyncio.wrap_future(self._opened)

    async def close(self) -> None:
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        future: Future[T] = Future()
        self._jobs.put(_Job(work, future))  # type: ignore[arg-type]
        return await asyncio.wrap_future(future)

    def _write(self) -> None:
        try:
            db = _connect(self._path, self._schema)
        except Exception as fault:  # noqa: BLE001 - whoever opens the store must hear of it
            self._opened.set_exception(fault)
            return
        self._opened.set_result(None)
        while batch := self._waiting():
            _commit(db, batch)
        db.close()

    def _waiting(self) -> list[_Job]:
        """What is there, at least one; empty once the store is closed."""
        first = self._jobs.get()
        if first is None:
            return []
        batch = [first]
        while len(batch) < BATCH_MAX and not self._jobs.empty():
            more = self._jobs.get()
            if more is None:
                self._jobs.put(None)
                break
            batch.append(more)
        return batch


def _connect(path: Path, schema: str) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, isolation_level=None)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(_CALLS)
    db.executescript(schema)
    return db


def _commit(db: sqlite3.Connection, batch: list[_Job]) -> None:
    settle: list[Callable[[], None]] = []
    try:
        db.execute("BEGIN IMMEDIATE")
        settle = [_attempt(db, job) for job in batch]
        db.execute("COMMIT")
    except sqlite3.Error as fault:
        if db.in_transaction:
            db.execute("ROLLBACK")
        settle = [_failing(job.future, fault) for job in batch]
    for each in settle:
        each()


def _attempt(db: sqlite3.Connection, job: _Job) -> Callable[[], None]:
    db.execute("SAVEPOINT job")
    try:
        result = job.work(db)
    except Exception as fault:  # noqa: BLE001 - it is the caller's, who gets it
        db.execute("ROLLBACK TO job")
        return _failing(job.future, fault)
    finally:
        db.execute("RELEASE job")
    return lambda: _settle(job.future, lambda: job.future.set_result(result))


def _failing(future: Future[object], fault: Exception) -> Callable[[], None]:
    return lambda: _settle(future, lambda: future.set_exception(fault))


def _settle(future: Future[object], outcome: Callable[[], None]) -> None:
    """The client may have gone meanwhile and cancelled; its effect stands all the same."""
    if future.set_running_or_notify_cancel():
        outcome()


def once(db: sqlite3.Connection, call: Keyed, effect: Effect, *, failing: int = 0) -> Reply:
    """The effect of a key, at most once. Its first `failing` requests get a 503 and do nothing."""
    seen = db.execute("SELECT * FROM call WHERE key = ?", (call.key,)).fetchone()
    if seen is not None and seen["request"] != call.request:
        return refuse(422, "idempotency_key_reused")
    tries = 1 if seen is None else seen["tries"] + 1
    if seen is not None and seen["status"] is not None:
        db.execute("UPDATE call SET tries = ? WHERE key = ?", (tries, call.key))
        return Reply(seen["status"], json.loads(seen["body"]), replayed=True, tries=tries)
    reply = refuse(503, "unavailable") if tries <= failing else effect(db)
    kept = (None, None) if tries <= failing else (reply.status, json.dumps(reply.body))
    db.execute("REPLACE INTO call VALUES (?, ?, ?, ?, ?)", (call.key, call.request, tries, *kept))
    return replace(reply, tries=tries)
