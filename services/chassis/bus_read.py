"""Reading: one member of a consumer group, supervised.

Refuses to know what a record means and where positions are kept. Two invariants live here:
nothing is delivered from a partition before `seek` named its position, and a member that lives
without reading (aiokafka has several ways) is found out and given up within `stuck_after_s`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka import TopicPartition as KafkaTopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError, NoOffsetForPartitionError, OffsetOutOfRangeError

from services.chassis import bus_batches
from services.chassis.bus import (
    CLOSE_WITHIN_S,
    BatchUnreadable,
    BusError,
    ClientLost,
    Discarded,
    OffsetOutside,
    answered_within,
    connection,
)
from services.chassis.bus_batches import Unreadable
from services.chassis.bus_topic_ids import topic_ids
from services.chassis.messages import Record, TopicPartition

_POLL_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class ReaderTuning:
    """`instance_id` makes membership static: a restart within the session moves no partition."""

    instance_id: str | None = None
    session_timeout_ms: int = 10_000
    fetch_max_wait_ms: int = 500
    fetch_max_bytes: int = 16 * 1024 * 1024
    partition_fetch_bytes: int = 1024 * 1024
    start_within_s: float = 30.0
    answer_within_s: float = 5.0
    stuck_after_s: float = 30.0


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Only tells: what is raised here is swallowed, and it runs beside the processing."""

    def __init__(self, told: Callable[[frozenset[TopicPartition] | None], None]) -> None:
        self._told = told

    def on_partitions_revoked(self, revoked: object) -> None:
        del revoked
        self._told(None)

    def on_partitions_assigned(self, assigned: Iterable[tuple[str, int]]) -> None:
        self._told(frozenset(TopicPartition(*tp) for tp in assigned))


class Reader:
    """One member of a consumer group.

    `generation` moves whenever the assignment did (or was taken away): then load the positions of
    `assignment()` and `seek` them. Until then their records are withheld.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        group: str,
        topics: Iterable[str],
        client_id: str,
        tuning: ReaderTuning | None = None,
    ) -> None:
        self.generation = 0
        self.alive = False
        self._bootstrap, self._group, self._client_id = bootstrap, group, client_id
        self._topics = tuple(topics)
        self._tuning = tuning or ReaderTuning()
        self._consumer: AIOKafkaConsumer | None = None
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._joined = False
        self._sought: set[TopicPartition] = set()
        self._held: set[TopicPartition] = set()
        self._drained = False
        self._look_at = 0.0
        self._left_at = 0.0
        self._behind: dict[TopicPartition, int] = {}
        self._unreadable: dict[TopicPartition, tuple[int, str]] = {}
        self._untold: list[BatchUnreadable] = []
        self._discarded = Discarded()

    async def start(self) -> None:
        """Joins the group. Raises BrokerSilent or TopicsWrong, and may then be called again."""
        bus_batches.install()
        consumer = self._consumer = _new_consumer(
            self._bootstrap, self._tuning, group=self._group, client_id=self._client_id
        )
        self._told(consumer, None)

        consumer.subscribe(self._topics, listener=_Rebalances(partial(self._told, consumer)))
        try:
            async with answered_within(self._tuning.start_within_s, self._bootstrap, self._topics):
                await consumer.start()
        except BaseException:
            self._discard()
            raise
        self.alive = True

    async def rebuild(self) -> None:
        """A new consumer; the old one is left to close behind. Seek afterwards, as after start."""
        self._discard()
        await self.start()

    async def close(self) -> None:
        """Leaves the group, within seconds whatever the broker does."""
        self._discard()
        await self._discarded.settle(CLOSE_WITHIN_S * 2)

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Records of sought partitions, each partition's in offset order.

        BrokerSilent: poll again. ClientLost: rebuild. PartitionStopped: poll goes on for the
        others. Nothing that was read is lost by any of them.
        """
        consumer = self._living()
        if self._untold:
            raise self._untold.pop()
        if self._drained:
            await self._look_whether_stuck(consumer)
        try:
            async with asyncio.timeout(timeout_s + _POLL_GRACE_S):
                fetched = await consumer.getmany(
                    timeout_ms=round(timeout_s * 1000), max_records=max_records
                )
        except (TimeoutError, NoOffsetForPartitionError):
            fetched = {}  # A rebalance is under way, or its partitions are not sought yet.
        except OffsetOutOfRangeError as error:
            raise await self._outside(consumer, error.args[0]) from error
        except Unreadable as error:
            raise self._broken(consumer, error) from error
        except Exception as error:
            raise self._lost(f"reading failed: {error!r}") from error
        sought = self._sought
        records = [
            Record(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, r.headers)
            for tp, found in fetched.items()
            if tp in sought
            for r in found
        ]
        self._drained = len(records) < max_records
        return records

    def assignment(self) -> frozenset[TopicPartition]:
        """Empty while a rebalance is under way."""
        return self._assigned

    async def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Delivers from these positions on; what is no longer assigned is passed over."""
        consumer = self._living()
        self._behind = {}
        self._untold.clear()
        for tp, position in positions.items():
            if tp not in self._assigned:
                continue
            unreadable_at, reason = self._unreadable.get(tp, (-1, ""))
            if position == unreadable_at:
                self._untold.append(BatchUnreadable(tp, position, reason))
                continue
            with suppress(IllegalStateError):
                consumer.seek(_theirs(tp), position)
                self._sought.add(tp)
                if tp not in self._held:
                    consumer.resume(_theirs(tp))

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Holds delivery until `resume`; a new generation forgets it."""
        consumer = self._living()
        for tp in self._assigned.intersection(partitions):
            self._held.add(tp)
            with suppress(IllegalStateError):
                consumer.pause(_theirs(tp))

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        consumer = self._living()
        self._behind = {}
        for tp in self._held.intersection(partitions):
            self._held.discard(tp)
            with suppress(IllegalStateError):
                if tp in self._sought:
                    consumer.resume(_theirs(tp))

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last one readable now, asked of the brokers."""
        return await self._ask(self._living().end_offsets, partitions)

    async def read_through(self, place: TopicPartition) -> int:
        """The offset that is read next, markers of transactions passed over; -1 if not sought."""
        if place not in self._sought:
            return -1  # Asked for it the client waits, or tells what the group once committed.
        async with answered_within(self._tuning.answer_within_s, self._bootstrap):
            return int(await self._living().position(_theirs(place)))

    async def log_starts(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return await self._ask(self._living().beginning_offsets, partitions)

    async def topic_ids(self) -> dict[str, str]:
        """Of each topic read, the id that it was given when it was made."""
        async with answered_within(self._tuning.answer_within_s, self._bootstrap):
            return await topic_ids(self._living()._client, self._topics)  # noqa: SLF001

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """For lag tools only: positions are the database's. A failure harms nothing else."""
        if not (ours := {_theirs(tp): n for tp, n in offsets.items() if tp in self._assigned}):
            return
        async with answered_within(self._tuning.answer_within_s, self._bootstrap):
            await self._living().commit(ours)

    def _told(self, consumer: AIOKafkaConsumer, now: frozenset[TopicPartition] | None) -> None:
        """`now` is None when the assignment was taken away. A discarded consumer is not heard."""
        current = self._consumer
        if current is None or consumer is not current:
            return
        self.generation += 1
        self._joined = now is not None
        self._assigned = now or frozenset()
        self._sought.clear()
        self._held.clear()
        self._behind = {}
        self._left_at = monotonic()
        self._look_at = self._left_at + self._tuning.stuck_after_s / 2
        for tp in self._assigned:
            current.pause(_theirs(tp))

    def _living(self) -> AIOKafkaConsumer:
        if self._consumer is None or not self.alive:
            raise ClientLost("this reader is not running; call rebuild()")
        return self._consumer

    def _lost(self, reason: str) -> ClientLost:
        self.alive = False
        return ClientLost(f"group {self._group}: {reason}")

    def _discard(self) -> None:
        self.alive = False
        if self._consumer is not None:
            self._discarded.add(_let_go(self._consumer))
            self._told(self._consumer, None)
            self._consumer = None

    async def _ask(
        self,
        question: Callable[[list[KafkaTopicPartition]], Awaitable[Mapping[tuple[str, int], int]]],
        partitions: Iterable[TopicPartition],
    ) -> dict[TopicPartition, int]:
        asked = [_theirs(tp) for tp in partitions]
        topics = _known_to(self._living(), asked)
        async with answered_within(self._tuning.answer_within_s, self._bootstrap, topics):
            answer = await question(asked) if asked else {}
        return {TopicPartition(*tp): offset for tp, offset in answer.items()}

    async def _outside(
        self, consumer: AIOKafkaConsumer, found: Mapping[tuple[str, int], int]
    ) -> OffsetOutside:
        ((tp, stored),) = ((TopicPartition(*tp), at) for tp, at in found.items())
        self._sought.discard(tp)
        with suppress(IllegalStateError):
            consumer.pause(_theirs(tp))
        start = end = -1
        with suppress(BusError):
            start = (await self.log_starts([tp]))[tp]
            end = (await self.end_offsets([tp]))[tp]
        return OffsetOutside(tp, stored, start, end)

    def _broken(self, consumer: AIOKafkaConsumer, found: Unreadable) -> BatchUnreadable:
        """Others may have moved without being handed out: all are sought anew."""
        self._unreadable[found.place] = found.offset, str(found.reason)
        self._told(consumer, self._assigned)
        return BatchUnreadable(found.place, *self._unreadable[found.place])

    async def _look_whether_stuck(self, consumer: AIOKafkaConsumer) -> None:
        """Members are known to live on without fetching, or without ever joining again.

        A partition is stuck when two looks, half of `stuck_after_s` apart, find it behind its
        log's end at the same position although every poll between left nothing in the buffers.
        """
        now = monotonic()
        if now < self._look_at:
            return
        self._look_at = now + self._tuning.stuck_after_s / 2
        if not self._joined:
            if now - self._left_at > self._tuning.stuck_after_s:
                raise self._lost(f"no assignment for {self._tuning.stuck_after_s:g} s")
            return
        generation, active = self.generation, self._sought - self._held
        ends = await self.end_offsets(active)
        behind: dict[TopicPartition, int] = {}
        async with answered_within(self._tuning.answer_within_s, self._bootstrap):
            for tp in active:
                if generation != self.generation:
                    return
                position = await consumer.position(_theirs(tp))
                if position < ends[tp]:
                    behind[tp] = position
        stuck = dict(behind.items() & self._behind.items())
        self._behind = behind
        if stuck:
            raise self._lost(f"stuck at {stuck}, though the log goes on")


def _new_consumer(
    bootstrap: str, tuning: ReaderTuning, *, group: str, client_id: str
) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        **connection(bootstrap, tuning.answer_within_s * 2),
        client_id=client_id,
        group_id=group,
        group_instance_id=tuning.instance_id,
        session_timeout_ms=tuning.session_timeout_ms,
        heartbeat_interval_ms=tuning.session_timeout_ms // 4,
        partition_assignment_strategy=(RangePartitionAssignor,),
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        fetch_max_wait_ms=tuning.fetch_max_wait_ms,
        fetch_max_bytes=tuning.fetch_max_bytes,
        max_partition_fetch_bytes=tuning.partition_fetch_bytes,
    )


def _known_to(consumer: AIOKafkaConsumer, asked: Iterable[KafkaTopicPartition]) -> set[str]:
    """Their topics, made known at once: aiokafka would do it one by one, each behind a fetch."""
    topics = {tp.topic for tp in asked}
    for topic in topics:
        consumer._client.add_topic(topic)  # noqa: SLF001
    return topics


def _theirs(tp: TopicPartition) -> KafkaTopicPartition:
    return KafkaTopicPartition(tp.topic, tp.partition)


async def _let_go(consumer: AIOKafkaConsumer) -> None:
    """`stop()` waits for silent brokers without end; then only closing the sockets helps."""
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await consumer.stop()
            return
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await consumer._client.close()  # noqa: SLF001
