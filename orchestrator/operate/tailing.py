"""The newest records of a topic for whoever looks: one reader a topic, however many tabs.

Nothing is read unless somebody looks, at most once in EVERY_S, and then of each partition its last
LAST records at most; who skipped some lacks them. A topic that nobody looked at for IDLE_S is let
go. When Kafka does not answer, what was read stays, with since when. Knows no schema and no page.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import dataclass, field
from math import inf
from typing import Final, Protocol

from orchestrator.operate.outside import Seen
from services.chassis.bus import BusError
from services.chassis.clock import Clock
from services.chassis.messages import Record

LAST: Final = 50
PARTITION_BYTES: Final = 1 << 20
READERS_MAX: Final = 8
EVERY_S, AGAIN_S, IDLE_S = 1.0, 5.0, 30.0


class Source(Protocol):
    def newest(self) -> AsyncGenerator[Record, None]:
        """What was written since the last call."""


Opened = Callable[[str], AbstractAsyncContextManager[Source]]


@dataclass(frozen=True, slots=True)
class Kept:
    """`shown`: what was made of it, by whether what is personal may be seen."""

    record: Record
    shown: dict[bool, Seen] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """`fault`: why it is not fresh. `as_of_us`: when it was, 0 for never."""

    kept: tuple[Kept, ...]
    as_of_us: int
    fault: str = ""


class Tails:
    def __init__(self, opened: Opened, clock: Clock) -> None:
        self._opened, self._clock = opened, clock
        self._readers: dict[str, _Reader] = {}

    async def look(self, topic: str) -> Look:
        reader = self._readers.get(topic)
        if reader is None:
            reader = self._readers[topic] = _Reader(self._opened, topic, self._clock)
            await self._make_room()
        return await reader.look()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(IDLE_S)
            await self.sweep()

    async def sweep(self) -> None:
        """Lets go what nobody looks at."""
        now_s = self._clock.monotonic_s()
        await self._let_go(
            [name for name, each in self._readers.items() if now_s - each.looked_s >= IDLE_S]
        )

    async def close(self) -> None:
        await self._let_go(list(self._readers))

    async def _make_room(self) -> None:
        oldest_first = sorted(self._readers, key=lambda name: self._readers[name].looked_s)
        await self._let_go(oldest_first[: max(0, len(oldest_first) - READERS_MAX)])

    async def _let_go(self, names: list[str]) -> None:
        for reader in [self._readers.pop(name) for name in names]:
            await reader.close()


class _Reader:
    def __init__(self, opened: Opened, topic: str, clock: Clock) -> None:
        self._opened, self._topic, self._clock = opened, topic, clock
        self._lock, self._stack = asyncio.Lock(), AsyncExitStack()
        self._source: Source | None = None
        self._partitions: dict[int, deque[Kept]] = {}
        self._as_of_us, self._fault = 0, ""
        self.looked_s = clock.monotonic_s()
        self._next_s = self.looked_s

    async def look(self) -> Look:
        async with self._lock:
            self.looked_s = self._clock.monotonic_s()
            if self.looked_s >= self._next_s:
                await self._freshen()
            kept = tuple(each for lines in self._partitions.values() for each in lines)
            return Look(kept, self._as_of_us, self._fault)

    async def close(self) -> None:
        """For good: who waits for it still is told what was known last."""
        async with self._lock:
            self._next_s = inf
            await self._close()

    async def _freshen(self) -> None:
        try:
            await self._read()
        except BusError as fault:
            self._fault, self._next_s = str(fault), self.looked_s + AGAIN_S
            await self._close()
        else:
            self._as_of_us, self._fault = self._clock.now_us(), ""
            self._next_s = self.looked_s + EVERY_S

    async def _read(self) -> None:
        if self._source is None:
            self._source = await self._stack.enter_async_context(self._opened(self._topic))
            self._partitions.clear()  # a new reader begins with the last ones again
        async with aclosing(self._source.newest()) as records:
            async for record in records:
                self._keep(record)

    def _keep(self, record: Record) -> None:
        lines = self._partitions.setdefault(record.partition, deque(maxlen=LAST))
        lines.append(Kept(record))
        while len(lines) > 1 and _bytes(lines) > PARTITION_BYTES:
            lines.popleft()

    async def _close(self) -> None:
        self._source = None
        await self._stack.aclose()


def _bytes(lines: deque[Kept]) -> int:
    return sum(len(each.record.value or b"") for each in lines)
