"""Who did what, when, why and with what result: append-only, each line chained to the one before.

Invariants: what an operator does is written before it is told, so no act is without a line; a line
is never changed or taken away, which the database refuses and the chain shows. Lines cut off at
the end leave a whole chain: keep `head` elsewhere to see that. Nothing here is a payload.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

from starlette.requests import HTTPConnection

from services.chassis.bus import BusError
from services.chassis.clock import Clock
from services.chassis.store import Plan, Select, Store, StoreError, Value, Write, statements

SQL = statements(Path(__file__).parent / "auditing.sql")
MIGRATIONS = Path(__file__).parent / "migrations"
GENESIS: Final = "0" * 64
ASKED: Final = "asked"
PAGE_MAX: Final = 1_000
NOT_TAKEN: Final = "not_taken"
VIA_HEADER: Final = "Baton-Via"
OK: Final = frozenset({"applied", NOT_TAKEN, "ok"})
NO_KAFKA: Final = "no_kafka"
FAILED: Final = frozenset({NO_KAFKA, "failed"})
Kept: TypeAlias = dict[str, Value]
Via: TypeAlias = Literal["console", "cli", "api"]
_CHAINED = ("seq", "at_us", "actor", "via", "action", "target", "reason", "request", "result")


class NotKept(Exception):
    """The console's own database could not be written; says why, and what was told all the same."""


class Counts(Protocol):
    """`orchestrator.operate.metrics.ConsoleMetrics` is one."""

    def acted(
        self, action: str, via: Via, result: Literal["ok", "refused", "failed"], n: int = 1
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Act:
    """`target` is whom it was done to: a saga id, `service key`, an operation, a token's name."""

    actor: str
    via: Via
    action: str
    target: str
    reason: str
    request: str


@dataclass(slots=True)
class Acted:
    """What came of an act; `failed` until it is said."""

    result: str = "failed"


class Audit:
    def __init__(self, store: Store, clock: Clock, counts: Counts | None = None) -> None:
        self._store, self._clock, self._counts = store, clock, counts

    async def asked(self, act: Act) -> None:
        """Before it is told. Raises NotKept: then it must not be told."""
        await self._add(act, ASKED, "nothing was told")

    async def done(self, act: Act, result: str, *, counted: bool = True) -> None:
        """`applied` or `ok`, `not_taken` yet, or why not. Raises NotKept.

        What is done to many is counted for each of them, by who does it.
        """
        await self._add(act, result, "it was told, but what became of it is not kept")
        if counted:
            self.count(act.action, act.via, result)

    def count(self, action: str, via: Via, result: str) -> None:
        if self._counts is not None:
            self._counts.acted(action, via, counted_as(result))

    @asynccontextmanager
    async def acting(self, act: Act, *, counted: bool = True) -> AsyncIterator[Acted]:
        """Asked before the block, done after it, with the result that the block says."""
        await self.asked(act)
        became = Acted()
        try:
            yield became
        except BusError:
            became.result = NO_KAFKA
            raise
        finally:
            await self.done(act, became.result, counted=counted)

    async def page(
        self, before: int, limit: int, *, actor: str = "", target: str = ""
    ) -> list[Kept]:
        """Newest first."""
        name = "audit.of_target" if target else "audit.of_actor" if actor else "audit.page"
        params: Kept = {"before": before, "limit": limit}
        if target or actor:
            params["wanted"] = target or actor
        return await self._store.read(SQL[name], params)

    async def since(self, after: int, limit: int = PAGE_MAX) -> list[Kept]:
        return await self._store.read(SQL["audit.since"], {"after": after, "limit": limit})

    async def check(self) -> Checked:
        """Walks the whole chain, a page at a time."""
        checked = Checked()
        while rows := await self.since(checked.seq):
            checked = chained(checked, rows)
            if checked.broken:
                break
        return checked

    async def _add(self, act: Act, result: str, meaning: str) -> None:
        now_us = self._clock.now_us()
        try:
            await self._store.run(lambda: _added(act, result, now_us))
        except StoreError as fault:
            raise NotKept(f"{meaning}: the console cannot write its audit: {fault}") from fault


@dataclass(frozen=True, slots=True)
class Checked:
    """The chain up to line `seq`, whose hash is `head`; `broken` says where it is not one."""

    seq: int = 0
    head: str = GENESIS
    broken: str = ""


def chained(checked: Checked, rows: Iterable[Kept]) -> Checked:
    """`rows` are the next ones in order."""
    seq, head = checked.seq, checked.head
    for row in rows:
        if row["seq"] != seq + 1:
            return Checked(seq, head, f"line {seq + 1} is missing")
        if row["hash"] != hash_of(head, row):
            return Checked(seq, head, f"line {seq + 1} is not as it was written")
        seq, head = seq + 1, str(row["hash"])
    return Checked(seq, head)


def hash_of(previous: str, row: Kept) -> str:
    """Over the hash before it and the columns as a compact JSON list."""
    text = json.dumps([row[name] for name in _CHAINED], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()


def via_of(request: HTTPConnection) -> Via:
    """The command line says that it is one; the pages are given by who serves them."""
    return "cli" if request.headers.get(VIA_HEADER) == "cli" else "api"


def counted_as(result: str) -> Literal["ok", "refused", "failed"]:
    if result in OK:
        return "ok"
    return "failed" if result in FAILED else "refused"


def _added(act: Act, result: str, now_us: int) -> Plan[None]:
    last = yield Select(SQL["audit.last"])
    seq, head = (int(last[0][0] or 0), str(last[0][1])) if last else (0, GENESIS)
    row: Kept = {
        "seq": seq + 1,
        "at_us": now_us,
        "actor": act.actor,
        "via": act.via,
        "action": act.action,
        "target": act.target,
        "reason": act.reason,
        "request": act.request,
        "result": result,
    }
    yield Write(SQL["audit.add"], [(*row.values(), hash_of(head, row))], expect=1)
