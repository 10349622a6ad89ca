"""The yardstick: bare aiokafka, consume and produce again, no state, on the same broker."""

from __future__ import annotations

import asyncio
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

_FROM, _TO = "bench.relay.from", "bench.relay.to"
_PARTITIONS = 4
_VALUE = bytes(200)
_HEADERS = [("ce_id", b"0" * 36), ("ce_type", b"bench"), ("ce_source", b"bench")]


async def relay_messages_per_s(bootstrap: str, seconds: float) -> float:
    """Messages a second that one process reads from one topic and writes to another."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, _PARTITIONS, 1) for name in (_FROM, _TO)])
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, enable_idempotence=True, acks="all", max_batch_size=131_072
    )
    await producer.start()
    try:
        await _fill(producer, seconds)
        return await _relay(bootstrap, producer, seconds)
    finally:
        await producer.stop()
        await admin.delete_topics([_FROM, _TO])
        await admin.close()


async def _fill(producer: AIOKafkaProducer, seconds: float) -> None:
    """Enough that the relay never waits for the one who fills."""
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        await _send(producer, _FROM, {n: [_VALUE] * 500 for n in range(_PARTITIONS)})


async def _send(producer: AIOKafkaProducer, topic: str, values: dict[int, list[bytes]]) -> None:
    acks = []
    for partition, batch_of in values.items():
        batch = producer.create_batch()
        for value in batch_of:
            if batch.append(key=b"k", value=value, timestamp=None, headers=_HEADERS) is None:
                acks.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                batch.append(key=b"k", value=value, timestamp=None, headers=_HEADERS)
        acks.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*acks)


async def _relay(bootstrap: str, producer: AIOKafkaProducer, seconds: float) -> float:
    consumer = AIOKafkaConsumer(
        _FROM, bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    moved, began_s = 0, time.perf_counter()
    try:
        while time.perf_counter() - began_s < seconds:
            fetched = await consumer.getmany(timeout_ms=500, max_records=1000)
            if not fetched:
                break
            await _send(
                producer, _TO, {tp.partition: [r.value for r in rs] for tp, rs in fetched.items()}
            )
            moved += sum(map(len, fetched.values()))
    finally:
        elapsed_s = time.perf_counter() - began_s
        await consumer.stop()
    return moved / elapsed_s
