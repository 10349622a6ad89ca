"""Sending: messages that were made and committed, in their order, until the brokers have them.

Refuses to know why a message is sent, and to retry across producers: that is the outbox's. The
invariant here: of one partition, batch N+1 leaves only when N is acknowledged, so a failure never
lets a later message overtake an earlier one. The partition of a key is murmur2's, as Java's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import zip_longest

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    CorruptRecordException,
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder, MessageAccumulator

from services.chassis import failpoints
from services.chassis.bus import (
    CLOSE_WITHIN_S,
    BusError,
    ClientLost,
    Discarded,
    PublishRefused,
    TopicsWrong,
    answered_within,
    connection,
)
from services.chassis.messages import Outgoing

_TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_NEVER_ACCEPTED = (
    CorruptRecordException,
    InvalidTimestampError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
)

Lane = tuple[str, int]


@lru_cache(maxsize=65_536)
def partition_of(key: str, partitions: int) -> int:
    """The partition every murmur2 client (Java, aiokafka) gives this key."""
    hashed: int = murmur2(key.encode())
    return (hashed & 0x7FFFFFFF) % partitions


@dataclass(slots=True)
class _Parcel:
    """One batch of one partition; `indices` are its messages in the sequence published."""

    builder: BatchBuilder
    indices: list[int] = field(default_factory=list)

    def add(self, index: int, message: Outgoing) -> int | None:
        """The bytes it takes, or None if there is no room left."""
        room = self.builder.append(
            timestamp=None,
            key=message.key.encode(),
            value=message.value,
            headers=list(message.headers),
        )
        if room is None:
            return None
        self.indices.append(index)
        size: int = room.size
        return size


class Publisher:
    """The one idempotent producer of a process.

    After any error but a PublishRefused that left `alive` set, call `rebuild()` and publish what
    was not acknowledged again, under the same ids: what did arrive is then there twice.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        client_id: str,
        deadline_s: float = 10.0,
        message_bytes_max: int = 1024 * 1024,
        batch_bytes: int = 128 * 1024,
    ) -> None:
        self.alive = False
        self._bootstrap, self._client_id = bootstrap, client_id
        self._deadline_s = deadline_s
        self._message_bytes_max, self._batch_bytes = message_bytes_max, batch_bytes
        self._producer: AIOKafkaProducer | None = None
        self._partitions: dict[str, int] = {}
        self._singly: set[str] = set()
        self._turn = asyncio.Lock()
        self._discarded = Discarded()

    async def start(self, topics: Iterable[str] = ()) -> None:
        """Connects, and learns the partition counts of these topics."""
        self._producer = AIOKafkaProducer(
            **connection(self._bootstrap, self._deadline_s),
            client_id=self._client_id,
            acks="all",
            enable_idempotence=True,
            max_batch_size=self._batch_bytes,
            max_request_size=self._message_bytes_max,
        )
        try:
            async with answered_within(self._deadline_s, self._bootstrap):
                await self._producer.start()
            await self._learn(topics)
        except BaseException:
            self._discard()
            raise
        self.alive = True

    async def rebuild(self) -> None:
        """A new producer; the old one is left to close behind, with what it had not sent."""
        self._discard()
        await self.start(tuple(self._partitions))

    async def close(self) -> None:
        self._discard()
        await self._discarded.settle(CLOSE_WITHIN_S * 2)

    def partition_for(self, topic: str, key: str) -> int:
        """Of a topic named at start or published to; others are a TopicsWrong."""
        partitions = self._partitions.get(topic)
        if partitions is None:
            raise TopicsWrong([topic], "its partition count is not known to this client")
        return partition_of(key, partitions)

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Returns when all are acknowledged; one call at a time, others wait their turn.

        PublishRefused names one message that no broker will ever take; of the others some may
        have been sent, unless `alive` is still set: then none was.
        """
        async with self._turn:
            if not self.alive:
                raise ClientLost("this publisher is not running; call rebuild()")
            await self._learn({message.topic for message in messages} - self._partitions.keys())
            lanes = self._pack(messages)
            in_lanes = ([(lane, parcel) for parcel in parcels] for lane, parcels in lanes.items())
            try:
                async with answered_within(self._deadline_s, self._bootstrap):
                    for abreast in zip_longest(*in_lanes):
                        await self._send([parcel for parcel in abreast if parcel is not None])
            except BaseException:
                self._discard()
                raise

    async def _learn(self, topics: Iterable[str]) -> None:
        assert self._producer is not None
        for topic in topics:
            if not _TOPIC_NAME.fullmatch(topic):
                raise TopicsWrong([topic], "is no name for a topic")
            async with answered_within(self._deadline_s + 1, self._bootstrap, [topic]):
                self._partitions[topic] = len(await self._producer.partitions_for(topic))

    def _pack(self, messages: Sequence[Outgoing]) -> dict[Lane, list[_Parcel]]:
        """Batches by partition, in order, before anything is sent."""
        assert self._producer is not None
        create, lanes = self._producer.create_batch, dict[Lane, list[_Parcel]]()
        for index, message in enumerate(messages):
            topic = message.topic
            lane = (topic, partition_of(message.key, self._partitions[topic]))
            parcels = lanes.get(lane)
            if parcels is None:
                parcels = lanes[lane] = [_Parcel(create())]
            elif topic in self._singly:
                parcels.append(_Parcel(create()))
            size = parcels[-1].add(index, message)
            if size is None:
                parcels.append(_Parcel(create()))
                size = parcels[-1].add(index, message)
            if size is None or size > self._message_bytes_max:
                raise PublishRefused(
                    index, f"{size} bytes, at most {self._message_bytes_max} are allowed"
                )
        return lanes

    async def _send(self, parcels: Sequence[tuple[Lane, _Parcel]]) -> None:
        """One batch of each partition, together; none of them waits for another's queue."""
        assert self._producer is not None
        sent = []
        for (topic, partition), parcel in parcels:
            parcel.builder.close()
            sent.append(await self._producer.send_batch(parcel.builder, topic, partition=partition))
        failpoints.reached("relay_after_send")
        results = await asyncio.gather(*sent, return_exceptions=True)
        for ((topic, _), parcel), result in zip(parcels, results, strict=True):
            if isinstance(result, BaseException):
                raise self._fault(topic, parcel, result) from result

    def _fault(self, topic: str, parcel: _Parcel, error: BaseException) -> BaseException:
        if isinstance(error, TopicAuthorizationFailedError):
            return TopicsWrong([topic], "may not be written by this client")
        if not isinstance(error, _NEVER_ACCEPTED):
            return error if isinstance(error, KafkaError | BusError) else ClientLost(repr(error))
        if len(parcel.indices) == 1:
            return PublishRefused(parcel.indices[0], f"{topic} refuses it: {error!r}")
        self._singly.add(topic)  # The next attempt finds out which one it was.
        return ClientLost(f"{topic} refuses a batch of {len(parcel.indices)}: {error!r}")

    def _discard(self) -> None:
        self.alive = False
        producer, self._producer = self._producer, None
        if producer is not None:
            _hush(producer._message_accumulator)  # noqa: SLF001
            self._discarded.add(_let_go(producer))


async def _let_go(producer: AIOKafkaProducer) -> None:
    """`stop()` flushes, for ever while brokers are silent; what is unsent is the outbox's anyway.

    The sender stops after what is in flight, then the sockets close.
    """
    sender = producer._sender.sender_task  # noqa: SLF001
    if sender is not None:
        sender.cancel()
        await asyncio.wait([sender], timeout=CLOSE_WITHIN_S)
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await producer.client.close()
    producer._closed = True  # noqa: SLF001


def _hush(pending: MessageAccumulator) -> None:
    """Nobody waits for these batches any more; that they fail must not be logged as an error."""
    queued = [batch for queue in pending._batches.values() for batch in queue]  # noqa: SLF001
    for batch in (*queued, *pending._pending_batches):  # noqa: SLF001
        for future in (batch.future, batch._drain_waiter):  # noqa: SLF001
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
