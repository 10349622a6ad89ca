"""Every record of every topic, read from outside: no group, no commit, positions by offset.

A second module that imports aiokafka, on purpose (DECISIONS.md): a checker that read through the
product's reader would not see what that one loses. What the client cannot read is told by place,
and the rest of that partition with it: it is never taken for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.verify.evidence import Place, Record
from deploy.verify.wiring import DEAD, WIRES

ANSWER_WITHIN_S = 30.0
SILENT_AFTER_S = 20.0
_POLL_MS = 200
CLIENT = "baton-verify"


class Unreachable(Exception):
    """No broker answers there."""


class Logs(NamedTuple):
    records: Sequence[Record]
    ends: Mapping[Place, tuple[int, int]]
    unread: Sequence[str]


async def log_ends(bootstrap: str) -> Mapping[Place, tuple[int, int]]:
    """First and next offset of each partition, now."""
    consumer = await _connected(bootstrap)
    try:
        return await _ends(consumer, bootstrap)
    finally:
        await consumer.stop()


async def read_logs(bootstrap: str, progress: Callable[[int, int], None]) -> Logs:
    """All that is there now; `progress` is told how many of how many."""
    consumer = await _connected(bootstrap)
    try:
        ends = await _ends(consumer, bootstrap)
        full = [TopicPartition(*place) for place, (start, end) in ends.items() if start < end]
        reader = _Reader(consumer, ends, progress)
        await reader.read(full)
    finally:
        await consumer.stop()
    records = sorted(reader.records, key=lambda each: each[:3])
    return Logs(records, ends, reader.unread)


class _Reader:
    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        ends: Mapping[Place, tuple[int, int]],
        progress: Callable[[int, int], None],
    ) -> None:
        self._consumer, self._ends, self._progress = consumer, ends, progress
        self._all = sum(end - start for start, end in ends.values())
        self._at = {TopicPartition(*place): start for place, (start, _) in ends.items()}
        self.records: list[Record] = []
        self.unread: list[str] = []

    async def read(self, places: Sequence[TopicPartition]) -> None:
        """These partitions to their ends; where the client breaks, each by itself."""
        try:
            await self._drain(places)
        except Exception as fault:  # noqa: BLE001  bytes of strangers may break the client anywhere
            behind = [place for place in places if self._at[place] < self._end(place)]
            if len(behind) > 1:
                for place in behind:
                    await self.read([place])
            for place in behind if len(behind) == 1 else ():
                name = f"{place.topic}/{place.partition}"
                why = str(fault) or type(fault).__name__
                self.unread.append(f"{name} cannot be read from {self._at[place]} on: {why}")

    async def _drain(self, places: Sequence[TopicPartition]) -> None:
        self._consumer.assign(places)
        for place in places:
            self._consumer.seek(place, self._at[place])
        moved_s = monotonic()
        while behind := [place for place in places if self._at[place] < self._end(place)]:
            found = await self._consumer.getmany(*behind, timeout_ms=_POLL_MS)
            for place, batch in found.items():
                self._take(place, batch)
            before = dict(self._at)
            for place in behind:
                self._at[place] = max(self._at[place], await self._consumer.position(place))
            self._progress(len(self.records), self._all)
            if before != self._at or found:
                moved_s = monotonic()
            elif monotonic() - moved_s > SILENT_AFTER_S:
                raise Unreachable(f"nothing came within {SILENT_AFTER_S:g} s")

    def _take(self, place: TopicPartition, batch: Sequence[Record]) -> None:
        """Only what lay there at first: what comes meanwhile belongs to a later moment."""
        for each in batch:
            self._at[place] = each.offset + 1
            if each.offset < self._end(place):
                headers = tuple(each.headers)
                record = Record(
                    each.topic,
                    each.partition,
                    each.offset,
                    each.timestamp,  # type: ignore[attr-defined]  # the client's record
                    each.key,
                    each.value,
                    headers,
                )
                self.records.append(record)

    def _end(self, place: TopicPartition) -> int:
        return self._ends[place.topic, place.partition][1]


async def _connected(bootstrap: str) -> AIOKafkaConsumer:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        client_id=CLIENT,
    )
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            await consumer.start()
    except (KafkaError, OSError, TimeoutError) as fault:
        await consumer.stop()
        raise Unreachable(f"no Kafka answers at {bootstrap}") from fault
    return consumer


async def _ends(consumer: AIOKafkaConsumer, bootstrap: str) -> Mapping[Place, tuple[int, int]]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, client_id=CLIENT)
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            await admin.start()
            there = {
                each["topic"]: len(each["partitions"]) for each in await admin.describe_topics()
            }
            names = [name for topic in WIRES for name in (topic, topic + DEAD) if name in there]
            places = [TopicPartition(name, n) for name in names for n in range(there[name])]
            consumer.assign(places)  # unassigned, each waits for the next round of metadata
            first = await consumer.beginning_offsets(places)
            last = await consumer.end_offsets(places)
    except (KafkaError, OSError, TimeoutError) as fault:
        raise Unreachable(f"the ends of the logs were not told: {fault!r}") from fault
    finally:
        await admin.close()
    return {(place.topic, place.partition): (first[place], last[place]) for place in places}
