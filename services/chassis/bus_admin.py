"""Topics, committed positions, and reading without a group: for operators, tools and tests.

Refuses to know which topics there ought to be (that is `schemas.topics`) and to change one that
exists: a difference is told, never repaired here. Every call is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka import TopicPartition as KafkaTopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    GroupCoordinatorNotAvailableError,
    NotCoordinatorForGroupError,
    for_code,
)

from services.chassis import bus_batches
from services.chassis.bus import (
    CLOSE_WITHIN_S,
    BrokerSilent,
    ClientLost,
    TopicsWrong,
    answered_within,
    connection,
)
from services.chassis.bus_topic_ids import topic_ids
from services.chassis.messages import Record, TopicPartition

_TOPIC_EXISTS = 36
_COORDINATOR_COMES = (
    CoordinatorLoadInProgressError,
    GroupCoordinatorNotAvailableError,
    NotCoordinatorForGroupError,
)


@dataclass(frozen=True, slots=True)
class TopicSpec:
    name: str
    partitions: int
    replication: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


class Admin:
    """One connection for questions about the cluster, opened at the first of them."""

    def __init__(self, bootstrap: str, *, answer_within_s: float = 10.0) -> None:
        self._bootstrap, self._within_s = bootstrap, answer_within_s
        self._client: AIOKafkaAdminClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                async with asyncio.timeout(CLOSE_WITHIN_S):
                    await client.close()

    async def ensure_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        """Creates the missing ones and names them; an existing one is left as it is."""
        wanted = [
            NewTopic(s.name, s.partitions, s.replication, topic_configs=dict(s.config))
            for s in specs
        ]
        client = await self._connected()
        async with answered_within(self._within_s, self._bootstrap, [s.name for s in specs]):
            answer = await client.create_topics(wanted)
        created = []
        for topic, code, why, *_ in answer.topic_errors:
            if code not in (0, _TOPIC_EXISTS):
                raise TopicsWrong([topic], f"{for_code(code).__name__}: {why}")
            if code == 0:
                created.append(topic)
        return created

    async def describe_topics(self) -> dict[str, int]:
        """Every topic of the cluster with its partition count."""
        client = await self._connected()
        async with answered_within(self._within_s, self._bootstrap):
            return {t["topic"]: len(t["partitions"]) for t in await client.describe_topics()}

    async def topic_id(self, name: str) -> str:
        """Given to it when it was made; "" where the brokers know none."""
        client = await self._connected()
        async with answered_within(self._within_s, self._bootstrap, [name]):
            return (await topic_ids(client._client, [name])).get(name, "")  # noqa: SLF001

    async def delete_topics(self, names: Iterable[str]) -> None:
        client = await self._connected()
        async with answered_within(self._within_s, self._bootstrap, names):
            await client.delete_topics(list(names))

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        """What the group told lag tools; the truth is in its database."""
        client = await self._connected()
        async with answered_within(self._within_s, self._bootstrap):
            while True:
                try:
                    found = await client.list_consumer_group_offsets(group)
                except _COORDINATOR_COMES:
                    await asyncio.sleep(0.1)
                    continue
                return {TopicPartition(*tp): at.offset for tp, at in found.items()}

    async def probe(self) -> int:
        """The number of brokers that a fresh answer names. Raises BrokerSilent."""
        client = await self._connected()
        async with answered_within(self._within_s, self._bootstrap):
            return len((await client.describe_cluster())["brokers"])

    async def _connected(self) -> AIOKafkaAdminClient:
        if self._client is None:
            client = AIOKafkaAdminClient(**connection(self._bootstrap, self._within_s))
            try:
                async with answered_within(self._within_s, self._bootstrap):
                    await client.start()
            except BaseException:
                await client.close()
                raise
            self._client = client
        return self._client


async def ensure_topics(bootstrap: str, specs: Sequence[TopicSpec]) -> list[str]:
    async with Admin(bootstrap) as admin:
        return await admin.ensure_topics(specs)


async def describe_topics(bootstrap: str) -> dict[str, int]:
    async with Admin(bootstrap) as admin:
        return await admin.describe_topics()


async def probe(bootstrap: str, *, answer_within_s: float = 2.0) -> int:
    async with Admin(bootstrap, answer_within_s=answer_within_s) as admin:
        return await admin.probe()


class Tail:
    """Reads topics without a group: `async with Tail(…) as tail`, then `tail.records()`.

    Where it begins is settled when it is entered, so that what is published afterwards is seen.
    With `until_end` it ends with the last record that was there then. `since_ms` begins with the
    first record of each partition whose timestamp is that or later, `last` with as many before its
    end, which is what `newest()` reads, however much is written in between.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: Iterable[str],
        *,
        from_beginning: bool = False,
        until_end: bool = False,
        since_ms: int | None = None,
        last: int = 0,
        answer_within_s: float = 10.0,
    ) -> None:
        self._bootstrap, self._topics = bootstrap, tuple(topics)
        self._since_ms, self._last = since_ms, last
        self._from_beginning, self._until_end = from_beginning, until_end
        self._within_s = answer_within_s
        self._consumer: AIOKafkaConsumer | None = None
        self._left: dict[KafkaTopicPartition, int] = {}

    async def __aenter__(self) -> Self:
        bus_batches.install()
        consumer = self._consumer = AIOKafkaConsumer(
            **connection(self._bootstrap, self._within_s),
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
        )
        try:
            async with answered_within(self._within_s, self._bootstrap, self._topics):
                await consumer.start()
                await self._settle(consumer)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with suppress(Exception):
                async with asyncio.timeout(CLOSE_WITHIN_S):
                    await consumer.stop()

    async def records(self) -> AsyncGenerator[Record, None]:
        consumer = self._consumer
        assert consumer is not None, "enter the tail before reading it"
        moved = monotonic()
        while self._left or not self._until_end:
            try:
                async with answered_within(self._within_s, self._bootstrap, self._topics):
                    fetched = await consumer.getmany(timeout_ms=200)
            except bus_batches.Unreadable as error:
                raise ClientLost(f"a batch cannot be read: {error}") from error
            for tp, found in fetched.items():
                for r in found:
                    if self._until_end and r.offset >= self._left.get(tp, 0):
                        break
                    yield _record(r)
            if not self._until_end:
                continue
            positions = {tp: await consumer.position(tp) for tp in self._left}
            self._left = {tp: end for tp, end in self._left.items() if positions[tp] < end}
            if fetched:
                moved = monotonic()
            elif self._left and monotonic() - moved > self._within_s:
                raise BrokerSilent(self._bootstrap, monotonic() - moved)

    async def newest(self) -> AsyncGenerator[Record, None]:
        """What was written since the last call, of each partition the `last` records at most.

        Nothing is fetched between calls: questions wait behind a fetch that waits for records.
        """
        consumer = self._consumer
        assert consumer is not None, "enter the tail before reading it"
        left = await self._unread(consumer)
        consumer.resume(*left)
        try:
            while left:
                fetched, at = await self._fetched(consumer, left)
                for each in fetched:
                    yield each
                left = {tp: end for tp, end in left.items() if at[tp] < end}
        finally:
            consumer.pause(*consumer.assignment())

    async def _fetched(
        self, consumer: AIOKafkaConsumer, partitions: Iterable[KafkaTopicPartition]
    ) -> tuple[list[Record], dict[KafkaTopicPartition, int]]:
        """Records, and where each partition is read up to."""
        try:
            async with answered_within(self._within_s, self._bootstrap, self._topics):
                fetched = await consumer.getmany(timeout_ms=200)
                at = {tp: await consumer.position(tp) for tp in partitions}
        except bus_batches.Unreadable as error:
            raise ClientLost(f"a batch cannot be read: {error}") from error
        return [_record(each) for batch in fetched.values() for each in batch], at

    async def _unread(self, consumer: AIOKafkaConsumer) -> dict[KafkaTopicPartition, int]:
        """Where each partition ends that has more, after skipping what is too far before that."""
        partitions = list(consumer.assignment())
        async with answered_within(self._within_s, self._bootstrap, self._topics):
            starts = await consumer.beginning_offsets(partitions)
            ends = await consumer.end_offsets(partitions)
            for tp, end in ends.items():
                begin = max(starts[tp], end - self._last)
                if not begin <= await consumer.position(tp) <= end:
                    consumer.seek(tp, begin)
            return {tp: end for tp, end in ends.items() if await consumer.position(tp) < end}

    async def bounds(self) -> dict[int, tuple[int, int]]:
        """First offset and the one after the last of each partition, if there is one topic."""
        consumer = self._consumer
        assert consumer is not None, "enter the tail before asking it"
        partitions = list(consumer.assignment())
        async with answered_within(self._within_s, self._bootstrap, self._topics):
            starts = await consumer.beginning_offsets(partitions)
            ends = await consumer.end_offsets(partitions)
        return {tp.partition: (starts[tp], ends[tp]) for tp in partitions}

    async def _settle(self, consumer: AIOKafkaConsumer) -> None:
        partitions: list[KafkaTopicPartition] = []
        for topic in self._topics:
            found = await consumer._client._wait_on_metadata(topic)  # noqa: SLF001
            partitions += (KafkaTopicPartition(topic, number) for number in sorted(found))
        consumer.assign(partitions)
        starts = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        last = {tp: max(starts[tp], ends[tp] - self._last) for tp in partitions}
        begins = dict(starts if self._from_beginning else last)
        if self._since_ms is not None:
            found = await consumer.offsets_for_times(dict.fromkeys(partitions, self._since_ms))
            begins = {tp: found[tp].offset if found.get(tp) else ends[tp] for tp in partitions}
        for tp in partitions:
            consumer.seek(tp, begins[tp])
        if self._last:
            consumer.pause(*partitions)
        self._left = {tp: end for tp, end in ends.items() if end > max(starts[tp], begins[tp])}


def _record(r: ConsumerRecord) -> Record:
    return Record(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, r.headers)


async def read_all(bootstrap: str, topics: Iterable[str]) -> list[Record]:
    """All that is in these topics now, each partition in order."""
    async with Tail(bootstrap, topics, from_beginning=True, until_end=True) as tail:
        return [record async for record in tail.records()]


async def log_bounds(bootstrap: str, topic: str) -> dict[int, tuple[int, int]]:
    """Where the log of each partition begins and ends now."""
    async with Tail(bootstrap, [topic]) as tail:
        return await tail.bounds()
