"""Publishes the outbox, strictly in its order, until the broker has it.

Batch N+1 leaves after batch N is acknowledged. After a start, a lost compare-and-set or any
error of the producer the truth is the database: unsent rows are read from it until none is left,
and only then are rows taken from memory again. A row that no broker will ever take is blocked
with an alarm, and only its key waits behind it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from schemas.topics import DEAD_LETTER_SUFFIX
from services.chassis import failpoints
from services.chassis.bus import BusError, PublishRefused
from services.chassis.clock import Clock
from services.chassis.messages import Outgoing
from services.chassis.outbox import outgoing
from services.chassis.store import Plan, Select, Store, StoreError, Write, statements

SQL = statements(Path(__file__).parent / "chassis.sql")
BATCH_MAX = 2_000
# What a slow broker takes within the publisher's deadline: one that cannot hold a batch never
# gets past it.
BATCH_BYTES = 4 * 1024 * 1024
WAITING_MAX = 20_000
_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 0.05, 2.0
_log = logging.getLogger(__name__)
Numbered = tuple[int, Outgoing]


class Publishes(Protocol):
    """What the relay needs of a publisher; `services.chassis.bus_publish.Publisher` is one."""

    @property
    def alive(self) -> bool: ...
    async def publish(self, messages: Sequence[Outgoing]) -> None: ...
    async def rebuild(self) -> None: ...


class Relay:
    """`acked` is told the numbers that the broker has, in order."""

    def __init__(
        self, store: Store, publisher: Publishes, clock: Clock, acked: Callable[[list[int]], None]
    ) -> None:
        self._store, self._publisher, self._clock = store, publisher, clock
        self._acked = acked
        self._waiting: list[Numbered] = []
        self._unmarked: set[int] = set()
        self._on_their_way: frozenset[int] = frozenset()
        self._blocked: dict[str, int] = {}
        self._from_store = True
        self._anew = False
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self.acked_through = 0
        self._last = 0
        self.failing_since_s: float | None = None
        self._published: dict[tuple[str, bytes], int] = {}

    @property
    def blocked(self) -> int:
        """How many keys wait behind a row that was refused for good."""
        return len(self._blocked)

    def offer(self, messages: Sequence[Numbered], behind: Sequence[int] = ()) -> None:
        """Rows of a transaction that has committed, and what was unsent of their keys by then.

        Another process may have said that, and not got it out: it goes first, by us if need be.
        """
        if self._from_store or len(self._waiting) > WAITING_MAX or self._misses(behind):
            # They are in the database; memory is bounded, and order is the database's.
            self._from_store = True
        else:
            self._waiting.extend(messages)
        self._idle.clear()
        self._wake.set()

    def _misses(self, numbers: Sequence[int]) -> bool:
        if not numbers:
            return False
        ours = self._unmarked.union((seq for seq, _ in self._waiting), self._on_their_way)
        return not ours.issuperset(numbers)

    def take_published(self) -> dict[tuple[str, str], int]:
        """(topic, type) → how many were acknowledged since this was last asked."""
        taken, self._published = self._published, {}
        found: dict[tuple[str, str], int] = {}
        for (topic, raw), n in taken.items():
            # A dead letter's copy has the headers of an outsider's record, text or not.
            kind = topic, raw.decode(errors="replace")
            found[kind] = found.get(kind, 0) + n
        return found

    def marked(self, numbers: Sequence[int]) -> None:
        """These are marked as sent in the database, and will not be read from it again."""
        self._unmarked.difference_update(numbers)
        failpoints.reached("relay_after_mark")

    def reload(self) -> None:
        """Somebody else may have written: trust the database, not memory nor this producer."""
        self._anew = True
        self._trust_the_database()

    async def drained(self) -> None:
        """Until all that was offered is acknowledged."""
        await self._idle.wait()

    async def run(self) -> None:
        backoff_s = _BACKOFF_FIRST_S
        while True:
            try:
                await self._turn()
            except (BusError, StoreError, OSError) as error:
                if self.failing_since_s is None:
                    self.failing_since_s = self._clock.monotonic_s()
                _log.warning("publishing failed", extra={"reason": str(error)})
                self._trust_the_database()
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, _BACKOFF_MAX_S)
            else:
                backoff_s, self.failing_since_s = _BACKOFF_FIRST_S, None

    def _trust_the_database(self) -> None:
        self._from_store = True
        self._waiting.clear()
        self._idle.clear()
        self._wake.set()

    async def _turn(self) -> None:
        if self._anew or not self._publisher.alive:
            self._anew = False
            await self._publisher.rebuild()
        if self._from_store:
            batch = await self._load()
        else:
            if not self._waiting:
                self._idle.set()
                self._wake.clear()
                await self._wake.wait()
                return
            # Whose headers are not packed made them itself: they are short.
            sizes = [len(out.value) + len(out.packed) for _, out in self._waiting[:BATCH_MAX]]
            n = _within(sizes)
            batch, self._waiting = self._waiting[:n], self._waiting[n:]
        batch = [each for each in batch if each[1].key not in self._blocked]
        if batch:
            await self._publish(batch)

    async def _load(self) -> list[Numbered]:
        """The next unsent rows; when there are none any more, memory serves again.

        The flag falls before the database is read: what commits meanwhile is offered to memory,
        and what both then hold is published twice under one id, never out of order.
        """
        self._from_store = False
        self._waiting.clear()

        def unsent() -> Plan[tuple[list[Numbered], bool]]:
            yield from self._note_blocked()
            last = yield Select(SQL["outbox.last"])
            self._last = int(last[0][0] or 0)
            limit = BATCH_MAX + len(self._unmarked)
            rows = yield Select(SQL["outbox.unsent"], (list(self._blocked), limit))
            # Another process may have blocked a row meanwhile, which is not among these.
            yield from self._note_blocked()
            fresh = [row for row in rows if row[0] not in self._unmarked][:BATCH_MAX]
            n = _within([int(size or 0) for _, size in fresh])
            numbers = [seq for seq, _ in fresh[:n]]
            whole = len(rows) < limit and n == len(fresh)
            return outgoing((yield Select(SQL["outbox.rows"], (numbers,)))), whole

        fresh, whole = await self._store.run(unsent)
        failpoints.reached("relay_after_select")
        through = [seq - 1 for seq, _ in (*fresh[:1], *self._waiting[:1])]
        self.acked_through = max(self.acked_through, min(through, default=self._last))
        if whole:
            found = {seq for seq, _ in fresh}
            self._waiting = [each for each in self._waiting if each[0] not in found]
        else:
            self._from_store = True
            self._waiting.clear()
        return fresh

    def _note_blocked(self) -> Plan[None]:
        blocked = yield Select(SQL["outbox.blocked"])
        self._blocked = {str(row[1]): int(row[0] or 0) for row in blocked}

    async def _publish(self, batch: list[Numbered]) -> None:
        numbers = [seq for seq, _ in batch]
        self._on_their_way = frozenset(numbers)
        try:
            await self._publisher.publish([out for _, out in batch])
        except PublishRefused as refused:
            await self._block(batch[refused.index], refused.reason)
            raise
        failpoints.reached("relay_after_ack")
        self._unmarked.update(numbers)
        through = [numbers[-1], *(seq - 1 for seq, _ in self._waiting[:1])]
        self.acked_through = max(self.acked_through, min(through))
        self._acked(numbers)
        published = self._published
        for _, out in batch:
            kind = out.topic, _type_of(out)
            published[kind] = published.get(kind, 0) + 1

    async def _block(self, row: Numbered, reason: str) -> None:
        seq, out = row
        what = "a message is refused by the broker for good; its key waits behind it"
        if out.topic.endswith(DEAD_LETTER_SUFFIX):
            what = "a dead letter's copy is refused by the broker for good; nothing waits behind it"
        _log.error(
            what,
            extra={"message_id": out.id, "topic": out.topic, "key": out.key, "reason": reason},
        )

        def block() -> Plan[None]:
            yield Write(SQL["outbox.block"], [(reason, seq)], expect=1)

        await self._store.run(block)


def _within(sizes: Sequence[int]) -> int:
    """How many of the first ones go together: as many bytes as a batch may have, at least one."""
    total = 0
    for at, size in enumerate(sizes):
        total += size
        if total > BATCH_BYTES and at:
            return at
    return len(sizes)


def _type_of(out: Outgoing) -> bytes:
    for name, value in out.headers:
        if name == "ce_type":
            return value
    return b""
