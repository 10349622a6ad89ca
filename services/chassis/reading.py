"""The loop that polls Kafka and hands records to the writer, and what a new assignment means.

Never waits for the writer: when there is too much in memory it holds the partitions and goes on
polling, because a member that does not poll is thrown out. At an assignment positions come from
the database, never from Kafka; a stored position outside the log, or in the log of a topic that
was made anew since, stops that partition with an alarm and is never skipped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from services.chassis import failpoints, key_verbs
from services.chassis.bus import BusError, OffsetOutside, PartitionStopped, TopicMadeAnew
from services.chassis.clock import Clock
from services.chassis.codec import CodecError
from services.chassis.gateways import Gateways
from services.chassis.items import Begun
from services.chassis.messages import Record, TopicPartition
from services.chassis.packing import unpack_begun
from services.chassis.positions import Positions
from services.chassis.relay import Relay
from services.chassis.store import Plan, Select, Store, StoreError, statements

SQL = statements(Path(__file__).parent / "chassis.sql")
_POLL_S = 0.5
_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 0.1, 3.0
_IDS_EVERY_S = 30.0
_log = logging.getLogger(__name__)


class Polls(Protocol):
    """What the loop needs of a reader; `services.chassis.bus_read.Reader` is one."""

    generation: int
    alive: bool

    async def rebuild(self) -> None: ...
    async def poll(self, max_records: int, timeout_s: float) -> list[Record]: ...
    def assignment(self) -> frozenset[TopicPartition]: ...
    async def seek(self, positions: Mapping[TopicPartition, int]) -> None: ...
    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]: ...
    async def log_starts(
        self, partitions: frozenset[TopicPartition]
    ) -> dict[TopicPartition, int]: ...
    async def topic_ids(self) -> dict[str, str]: ...
    def pause(self, partitions: frozenset[TopicPartition]) -> None: ...
    def resume(self, partitions: frozenset[TopicPartition]) -> None: ...


class Lag(NamedTuple):
    messages: int
    seconds: float


class Takes(Protocol):
    """What the loop needs of the intake."""

    @property
    def full(self) -> bool: ...
    @property
    def backlog(self) -> int: ...
    def put_records(self, records: list[Record]) -> None: ...
    def drop_records(self) -> None: ...
    def redrive(self, key: str) -> object: ...


class Reading:
    """`decode` makes bodies from stored bytes, for calls that are found under way."""

    def __init__(
        self,
        store: Store,
        reader: Polls,
        positions: Positions,
        intake: Takes,
        relay: Relay,
        gateways: Gateways | None,
        clock: Clock,
        *,
        batch_max: int,
        decode: Callable[[bytes], object],
    ) -> None:
        self._store, self._reader, self._positions = store, reader, positions
        self._intake, self._relay, self._gateways = intake, relay, gateways
        self._clock, self._batch_max, self._decode = clock, batch_max, decode
        self._seen = -1
        self._holding = False
        self._first = True
        self._ids: dict[str, str] = {}
        self._ids_at_s = clock.monotonic_s()
        self.stopped = positions.stopped
        self.silent_since_s: float | None = None
        self.unassigned_since_s: float | None = clock.monotonic_s()

    async def run(self) -> None:
        backoff_s = _BACKOFF_FIRST_S
        while True:
            try:
                await self._turn()
            except PartitionStopped as error:
                self._stop(error)
            except (BusError, StoreError) as error:
                if self.silent_since_s is None:
                    self.silent_since_s = self._clock.monotonic_s()
                _log.warning("reading failed", extra={"reason": str(error)})
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, _BACKOFF_MAX_S)
            else:
                backoff_s, self.silent_since_s = _BACKOFF_FIRST_S, None

    async def _turn(self) -> None:
        reader = self._reader
        if not reader.alive:
            self._positions.distrust()
            self._intake.drop_records()
            await reader.rebuild()
        if reader.generation != self._seen or self._positions.distrusted:
            await self._take_up()
        self._hold_or_go_on()
        records = await reader.poll(self._batch_max, _POLL_S)
        failpoints.reached("after_poll")
        if reader.generation == self._seen:
            self._intake.put_records(records)

    def _hold_or_go_on(self) -> None:
        if self._intake.full and not self._holding:
            self._holding = True
            self._reader.pause(self._reader.assignment())
        elif self._holding and not self._intake.full and self._intake.backlog <= self._batch_max:
            self._holding = False
            self._reader.resume(self._reader.assignment())

    async def _take_up(self) -> None:
        """A new assignment, or memory that is not believed: positions from the database."""
        reader, positions = self._reader, self._positions
        generation, assigned = reader.generation, reader.assignment()
        self._intake.drop_records()
        if self._gateways is not None:
            self._gateways.forget()
        if not assigned:
            if self.unassigned_since_s is None:
                self.unassigned_since_s = self._clock.monotonic_s()
            positions.distrust()
            self._seen = generation
            return
        starts = await reader.log_starts(assigned)
        ids = await reader.topic_ids()

        def load() -> Plan[tuple[dict[TopicPartition, int], set[TopicPartition]]]:
            found = yield from positions.load(starts)
            return found, (yield from positions.identify(ids))

        found, anew = await self._store.run(load)
        self._ids = ids
        inside = await self._inside_the_log(found, starts, anew)
        if reader.generation != generation:
            return
        positions.generation += 1
        positions.loaded(inside)
        if self._holding:
            # The reader forgets that only with a new generation, and a lost race makes none.
            reader.resume(assigned)
        failpoints.reached("positions_before_seek")
        try:
            await reader.seek(inside)
            self._relay.reload()
            await self._begin_again(sorted({place.partition for place in assigned}))
        except (BusError, StoreError):
            positions.distrust()  # half taken up is not taken up: all of it again
            raise
        self._seen, self._holding, self.unassigned_since_s = generation, False, None
        _log.info("reading", extra={"partitions": len(inside), "generation": generation})

    async def _inside_the_log(
        self,
        found: Mapping[TopicPartition, int],
        starts: Mapping[TopicPartition, int],
        anew: Container[TopicPartition],
    ) -> dict[TopicPartition, int]:
        """Positions whose records the log still has; the others stop their partition."""
        ends = await self._reader.end_offsets(frozenset(found))
        self.stopped.clear()
        self._positions.deaf.clear()
        inside: dict[TopicPartition, int] = {}
        for place, at in found.items():
            if place in anew:
                self._stop(TopicMadeAnew(place, at))
            elif starts[place] <= at <= ends[place]:
                inside[place] = at
            else:
                self._stop(OffsetOutside(place, at, starts[place], ends[place]))
        return inside

    async def look_at_topics(self) -> None:
        """Now and then: one made anew under a reader that runs on has positions no more."""
        now_s = self._clock.monotonic_s()
        if now_s < self._ids_at_s + _IDS_EVERY_S or not self._ids or not self._reader.alive:
            return
        self._ids_at_s = now_s
        known, ids = self._ids, await self._reader.topic_ids()
        if any(ids.get(topic, before) != before for topic, before in known.items()):
            self._positions.distrust()

    async def lag(self) -> dict[str, Lag]:
        """How far each topic's worst partition is behind; raises BusError without an answer."""
        at = self._positions.all
        if not at or not self._reader.alive:
            return {}
        ends = await self._reader.end_offsets(frozenset(at))
        now_ms = self._clock.now_us() // 1000
        found: dict[str, Lag] = {}
        for place, end in ends.items():
            behind = max(0, end - at.get(place, end))
            heard_ms = self._positions.heard_ms(place)
            waited_s = max(0.0, (now_ms - heard_ms) / 1000) if behind and heard_ms else 0.0
            worst = found.get(place.topic, Lag(0, 0.0))
            found[place.topic] = Lag(max(worst.messages, behind), max(worst.seconds, waited_s))
        return found

    def _stop(self, error: PartitionStopped) -> None:
        self.stopped[error.tp] = str(error)
        self._positions.deaf.add(error.tp.partition)
        _log.error(
            "a partition is stopped; nothing of it is skipped",
            extra={
                "topic": error.tp.topic,
                "partition": error.tp.partition,
                "reason": str(error),
            },
        )

    async def _begin_again(self, partitions: list[int]) -> None:
        """Calls found under way are made again, redrives go on, schemas are tried again once."""
        if self._gateways is not None:
            begun = await self._store.run(lambda: _calling(partitions, self._decode))
            self._gateways.begin(begun)
        again = await self._store.run(lambda: key_verbs.unfinished(started=self._first))
        if self._first:
            again += await self._store.run(_tried_at_a_start)
        self._first = False
        for key in again:
            self._intake.redrive(key)


def _calling(partitions: list[int], decode: Callable[[bytes], object]) -> Plan[list[Begun]]:
    rows = yield Select(SQL["operations.calling"], (partitions,))
    kept = yield from key_verbs.unrecorded_operations()
    found: list[Begun] = []
    for key, source, operation, _, call in rows:
        if isinstance(call, bytes) and (key, source, operation) not in kept:
            try:
                found.append(unpack_begun(call, str(key), str(source), str(operation), decode))
            except CodecError as error:
                where = {"key": key, "operation_id": operation, "reason": str(error)}
                _log.error("a call under way cannot be read by this release", extra=where)
    return found


def _tried_at_a_start() -> Plan[list[str]]:
    """What a release may have been waited for, and what the outside world said."""
    rows = yield Select(SQL["parked.all"])
    reasons = {"unknown_schema", "record_raised"}
    return [str(key) for key, reason, _, _ in rows if reason in reasons]
