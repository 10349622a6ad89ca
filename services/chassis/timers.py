"""When timers may fire: only when everything that could make them needless was heard.

Each tick takes the high watermarks of a partition in every topic read, asked of the broker; what
was due by then fires only when all of it is consumed. After a start, an assignment or a silence
of the broker, overdue timers are granted their interval anew: time in which we were deaf is not
the other side's. The same holds for the other side: while the reader of an awaited topic has not
read what stood there a tick ago, timers that await it are held.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.chassis import failpoints
from services.chassis.bus import BusError
from services.chassis.clock import Clock
from services.chassis.messages import TopicPartition
from services.chassis.positions import Positions
from services.chassis.store import Plan, Select, Store, StoreError, Write, statements
from services.chassis.transaction import Tick

SQL = statements(Path(__file__).parent / "chassis.sql")
_LOOK_AGAIN_S = 0.02
_CATCH_UP_MAX_S = 5.0
_log = logging.getLogger(__name__)


class Watermarks(Protocol):
    """Where the logs end, asked of the broker; raises BusError where it does not answer.

    `read_through` is where reading stands: past markers of transactions, which are no records.
    """

    async def end_offsets(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, int]: ...
    async def read_through(self, place: TopicPartition) -> int: ...


class OtherReaders(Protocol):
    """How far a consumer group has read, as it committed."""

    async def committed(self, group: str) -> Mapping[TopicPartition, int]: ...


@dataclass(slots=True)
class _Ear:
    """One partition: since which generation it hears, and what it last saw of awaited logs."""

    generation: int = -1


class Timers:
    """`awaited`: topic → consumer group, for the topics whose readers timers wait for."""

    def __init__(
        self,
        store: Store,
        positions: Positions,
        marks: Watermarks,
        others: OtherReaders,
        clock: Clock,
        *,
        awaited: Mapping[str, str],
        fire: Callable[[Tick], None],
    ) -> None:
        self._store, self._positions, self._clock = store, positions, clock
        self._marks, self._others = marks, others
        self._awaited, self._fire = awaited, fire
        self._ears: dict[int, _Ear] = {}
        self._ends: dict[TopicPartition, int] = {}
        self.held: frozenset[TopicPartition] = frozenset()

    async def run(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            await self.tick()

    async def tick(self) -> None:
        try:
            await self._look()
        except (BusError, StoreError) as error:
            # Nothing was heard, so nothing may fire; all that is overdue is granted anew.
            self._ears.clear()
            self._ends.clear()
            _log.warning("timers wait: the logs' ends are unknown", extra={"reason": str(error)})

    async def _look(self) -> None:
        if self._positions.distrusted:
            return
        now_us = self._clock.now_us()
        partitions = sorted(self._positions.partitions)
        due = await self._store.run(lambda: _due(partitions, now_us))
        failpoints.reached("timer_after_select")
        new = {each for each in partitions if not self._hears(each)}
        ready = await self._hold_awaiting(due, now_us)
        for partition in sorted(new.union(ready)):
            await self._hear(partition, now_us)

    def _hears(self, partition: int) -> bool:
        ear = self._ears.get(partition)
        return ear is not None and ear.generation == self._positions.generation

    async def _hear(self, partition: int, now_us: int) -> None:
        """Consume to the ends seen now; then fire what was due now, or grant if we were deaf."""
        places = sorted(self._positions.of(partition))
        ends = await self._marks.end_offsets(places)
        generation = self._positions.generation
        give_up_s = self._clock.monotonic_s() + _CATCH_UP_MAX_S
        while not await self._consumed(partition, ends):
            if self._clock.monotonic_s() > give_up_s or generation != self._positions.generation:
                return
            await asyncio.sleep(_LOOK_AGAIN_S)
        if self._hears(partition):
            self._fire(Tick(partition, now_us))
            return
        caught_up_us = self._clock.now_us()
        await self._store.run(lambda: _grant(partition, caught_up_us))
        self._ears[partition] = _Ear(generation)

    async def _consumed(self, partition: int, ends: Mapping[TopicPartition, int]) -> bool:
        at = self._positions.of(partition)
        for place, end in ends.items():
            if at.get(place, -1) >= end:
                continue
            # A log may end in a marker that is no record: then reading is there, and nothing waits.
            if self._positions.waits(place) or await self._marks.read_through(place) < end:
                return False
        return True

    async def _hold_awaiting(self, due: Sequence[int], now_us: int) -> Sequence[int]:
        """Timers whose command is not even read yet start their interval again.

        Gives back the partitions whose awaited logs were looked at a tick ago too: without that
        look nobody knows how much of them a reader must have read by now.
        """
        if not due or not self._awaited:
            self._ends = {}
            return due
        committed: dict[TopicPartition, int] = {}
        for group in sorted(set(self._awaited.values())):
            committed.update(await self._others.committed(group))
        places = [TopicPartition(topic, each) for topic in self._awaited for each in due]
        before = self._ends
        self._ends = dict(await self._marks.end_offsets(places))
        held = [place for place in places if committed.get(place, 0) < before.get(place, 0)]
        self.held = frozenset(held)
        if held:
            await self._store.run(lambda: _hold(held, now_us))
        seen = {place.partition for place in before}
        return [each for each in due if each in seen]


def _due(partitions: Sequence[int], now_us: int) -> Plan[list[int]]:
    rows = yield Select(SQL["timers.next"], (partitions,))
    return [int(row[0] or 0) for row in rows if row[1] is not None and int(row[1]) <= now_us]


def _grant(partition: int, caught_up_us: int) -> Plan[None]:
    yield Write(SQL["timers.grant"], [(caught_up_us, partition, caught_up_us)])


def _hold(held: Sequence[TopicPartition], now_us: int) -> Plan[None]:
    yield Write(
        SQL["timers.grant_awaiting"],
        [(now_us, place.partition, place.topic, now_us) for place in held],
    )
