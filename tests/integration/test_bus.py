"""The bus on a real broker: order, withheld positions, refusals, and no await that lasts."""

from __future__ import annotations

import asyncio
import gc
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

from deploy.local import lone_broker
from deploy.local.kafka import Broker
from services.chassis.bus import (
    BatchUnreadable,
    BrokerSilent,
    ClientLost,
    OffsetOutside,
    PublishRefused,
    TopicsWrong,
)
from services.chassis.bus_admin import (
    Admin,
    Tail,
    TopicSpec,
    describe_topics,
    ensure_topics,
    probe,
    read_all,
)
from services.chassis.bus_inflate import INFLATED_BYTES_MAX
from services.chassis.bus_publish import Publisher, partition_of
from services.chassis.bus_read import Reader, ReaderTuning
from services.chassis.messages import Outgoing, Record, TopicPartition

pytestmark = pytest.mark.kafka

NOBODY = "127.0.0.1:1"
QUICK = ReaderTuning(session_timeout_ms=6_000, answer_within_s=1.0, stuck_after_s=4.0)


def unique(name: str) -> str:
    return f"test.{name}.{uuid.uuid4().hex[:12]}"


async def new_topic(kafka: str, *, partitions: int = 4, **config: str) -> str:
    spec = TopicSpec(
        unique("topic"), partitions, 1, {k.replace("_", "."): config[k] for k in config}
    )
    assert await ensure_topics(kafka, [spec]) == [spec.name]
    return spec.name


def outgoing(topic: str, key: str, number: int, *, size: int = 0) -> Outgoing:
    value = b"%d" % number + b"." * size
    return Outgoing(topic, key, f"{key}/{number}", value, (("ce_id", f"{key}/{number}".encode()),))


@asynccontextmanager
async def publishing(kafka: str, **options: float) -> AsyncIterator[Publisher]:
    publisher = Publisher(kafka, client_id="test", **options)  # type: ignore[arg-type]
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.close()


@asynccontextmanager
async def reading(
    kafka: str, *topics: str, group: str | None = None, tuning: ReaderTuning = QUICK
) -> AsyncIterator[Reader]:
    reader = Reader(
        kafka, group=group or unique("group"), topics=topics, client_id="test", tuning=tuning
    )
    await reader.start()
    try:
        yield reader
    finally:
        await reader.close()


async def assigned(reader: Reader) -> frozenset[TopicPartition]:
    async with asyncio.timeout(20):
        while not reader.assignment():
            await reader.poll(1, 0.1)
    return reader.assignment()


async def from_start(reader: Reader) -> None:
    await reader.seek(dict.fromkeys(await assigned(reader), 0))


async def read(
    reader: Reader, count: int, *, at_most: int = 1000, within_s: float = 20.0
) -> list[Record]:
    """As a writer does: a silent broker is polled again."""
    records: list[Record] = []
    async with asyncio.timeout(within_s):
        while len(records) < count:
            with suppress(BrokerSilent):
                records += await reader.poll(at_most, 0.1)
    return records


async def read_on(reader: Reader, records: list[Record], *, within_s: float) -> None:
    """Polls until that raises."""
    async with asyncio.timeout(within_s):
        while True:
            records += await reader.poll(100, 0.1)


def by_key(records: list[Record]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for record in records:
        assert record.key is not None
        assert record.value is not None
        found.setdefault(record.key.decode(), []).append(record.value.rstrip(b"."))
    return found


async def test_each_key_keeps_its_order_over_many_batches(kafka: str) -> None:
    """100 messages of each of 30 keys, in small batches, arrive complete, each key's in order."""
    topic = await new_topic(kafka)
    keys = [f"order-{n}" for n in range(30)]
    messages = [outgoing(topic, key, n, size=50) for n in range(100) for key in keys]
    async with publishing(kafka, batch_bytes=4_000) as publisher:
        await publisher.publish(messages[:2500])
        await publisher.publish(messages[2500:])
    async with reading(kafka, topic) as reader:
        await from_start(reader)
        records = await read(reader, len(messages))
    in_order = [b"%d" % n for n in range(100)]
    assert by_key(records) == dict.fromkeys(keys, in_order)
    assert {(r.partition, r.key) for r in records} == {
        (partition_of(key, 4), key.encode()) for key in keys
    }


async def test_a_record_arrives_with_every_byte_it_was_sent_with(kafka: str) -> None:
    """Key, value and headers (order and repetition included) are what was published."""
    topic = await new_topic(kafka, partitions=1)
    headers = (("ce_id", b"a"), ("ce_id", b"b"), ("empty", b""), ("utf8", "ß".encode()))
    async with publishing(kafka) as publisher:
        await publisher.publish([Outgoing(topic, "k", "a", b"\x00\xff", headers)])
    (record,) = await read_all(kafka, [topic])
    assert record.timestamp_ms > 1_700_000_000_000
    assert record == Record(topic, 0, 0, record.timestamp_ms, b"k", b"\x00\xff", headers)


async def test_nothing_is_delivered_before_its_position_was_sought(kafka: str) -> None:
    """Committed offsets in Kafka do not count: only a sought partition delivers."""
    topic = await new_topic(kafka, partitions=2)
    group = unique("group")
    async with publishing(kafka) as publisher:
        await publisher.publish([outgoing(topic, f"key-{n}", n) for n in range(40)])
    async with reading(kafka, topic, group=group) as reader:
        await from_start(reader)
        await read(reader, 40)
        await reader.commit({TopicPartition(topic, 0): 3, TopicPartition(topic, 1): 3})
        async with Admin(kafka) as admin:
            assert await admin.committed(group) == {
                TopicPartition(topic, 0): 3,
                TopicPartition(topic, 1): 3,
            }
    async with reading(kafka, topic, group=group) as reader:
        await assigned(reader)
        withheld = [await reader.poll(100, 0.2) for _ in range(5)]
        assert withheld == [[]] * 5
        assert await reader.read_through(TopicPartition(topic, 1)) == -1
        await reader.seek({TopicPartition(topic, 1): 0})
        first = await read(reader, 1)
        assert {r.partition for r in first} == {1}
        assert first[0].offset == 0


async def test_seeking_back_reads_the_same_again(kafka: str) -> None:
    """A rollback in the database is followed by the very same records."""
    topic = await new_topic(kafka, partitions=1)
    async with publishing(kafka) as publisher:
        await publisher.publish([outgoing(topic, "k", n) for n in range(50)])
    async with reading(kafka, topic) as reader:
        await from_start(reader)
        first = await read(reader, 50)
        await reader.seek({TopicPartition(topic, 0): 20})
        assert await read(reader, 30) == first[20:]


async def test_a_poll_takes_no_more_than_asked(kafka: str) -> None:
    topic = await new_topic(kafka, partitions=1)
    async with publishing(kafka) as publisher:
        await publisher.publish([outgoing(topic, "k", n) for n in range(50)])
    async with reading(kafka, topic) as reader:
        await from_start(reader)
        polled = [[r.offset for r in await read(reader, 1, at_most=20)] for _ in range(3)]
    assert polled == [list(range(20)), list(range(20, 40)), list(range(40, 50))]


async def test_a_paused_partition_waits_and_then_goes_on(kafka: str) -> None:
    """Pausing loses nothing and repeats nothing."""
    topic = await new_topic(kafka, partitions=1)
    tp = TopicPartition(topic, 0)
    async with publishing(kafka) as publisher, reading(kafka, topic) as reader:
        await from_start(reader)
        await publisher.publish([outgoing(topic, "k", n) for n in range(3)])
        assert len(await read(reader, 3)) == 3
        reader.pause([tp])
        await publisher.publish([outgoing(topic, "k", n) for n in range(3, 6)])
        assert [await reader.poll(10, 0.3) for _ in range(3)] == [[], [], []]
        reader.resume([tp])
        assert [r.offset for r in await read(reader, 3)] == [3, 4, 5]


async def test_a_rebalance_moves_the_generation_and_takes_the_assignment(kafka: str) -> None:
    """When a second member joins, the first sees a new generation and keeps half of it."""
    topic = await new_topic(kafka, partitions=4)
    group = unique("group")
    everything = frozenset(TopicPartition(topic, n) for n in range(4))
    async with reading(kafka, topic, group=group) as first:
        assert await assigned(first) == everything
        before = first.generation
        second = Reader(kafka, group=group, topics=[topic], client_id="two", tuning=QUICK)
        joining = asyncio.create_task(second.start())
        async with asyncio.timeout(20):
            while first.assignment() in (everything, frozenset()):
                assert await first.poll(10, 0.1) == []
        await joining
        try:
            assert first.generation > before
            assert len(first.assignment()) == 2
            assert first.assignment() | await assigned(second) == everything
        finally:
            await second.close()


async def test_range_assignment_gives_one_member_the_same_partition_of_every_topic(
    kafka: str,
) -> None:
    """Partition n of one topic and of another are never torn between two members."""
    topics = [await new_topic(kafka, partitions=3), await new_topic(kafka, partitions=3)]
    group = unique("group")
    async with (
        reading(kafka, *topics, group=group) as first,
        reading(kafka, *topics, group=group) as second,
    ):
        async with asyncio.timeout(20):
            while {len(first.assignment()), len(second.assignment())} != {4, 2}:
                await asyncio.gather(first.poll(1, 0.1), second.poll(1, 0.1))
        numbers = [
            {tp.partition for tp in first.assignment() if tp.topic == topic} for topic in topics
        ]
        assert numbers[0] == numbers[1]


async def test_the_log_tells_where_it_begins_and_ends(kafka: str) -> None:
    topic = await new_topic(kafka, partitions=2)
    tps = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    key = next(f"k{n}" for n in range(100) if partition_of(f"k{n}", 2) == 1)
    async with publishing(kafka) as publisher, reading(kafka, topic) as reader:
        await publisher.publish([outgoing(topic, key, n) for n in range(7)])
        assert await reader.end_offsets(tps) == {tps[0]: 0, tps[1]: 7}
        assert await reader.log_starts(tps) == {tps[0]: 0, tps[1]: 0}


async def test_a_position_outside_the_log_stops_that_partition_alone(kafka: str) -> None:
    """The fault names partition, stored position and both ends; the other partition goes on."""
    topic = await new_topic(kafka, partitions=2)
    tps = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    keys = [next(f"k{n}" for n in range(99) if partition_of(f"k{n}", 2) == p) for p in (0, 1)]
    async with publishing(kafka) as publisher, reading(kafka, topic) as reader:
        await publisher.publish([outgoing(topic, key, n) for key in keys for n in range(5)])
        await assigned(reader)
        assert await reader.read_through(tps[0]) == -1
        await reader.seek({tps[0]: 17, tps[1]: 0})
        records: list[Record] = []
        with pytest.raises(OffsetOutside) as outside:
            await read_on(reader, records, within_s=10)
        told = outside.value
        assert (told.tp, told.stored, told.log_start, told.log_end) == (tps[0], 17, 0, 5)
        records += await read(reader, 5 - len(records))
        assert [(r.partition, r.offset) for r in records] == [(1, n) for n in range(5)]
        await reader.seek({tps[0]: 0})
        assert [r.partition for r in await read(reader, 5)] == [0] * 5


async def test_a_batch_that_would_inflate_without_end_stops_its_partition_alone(
    kafka: str,
) -> None:
    """All before it and every record of the others arrive; it stops there, now and later."""
    topic = await new_topic(kafka, partitions=2)
    tps = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    keys = [next(f"k{n}" for n in range(99) if partition_of(f"k{n}", 2) == p) for p in (0, 1)]
    async with publishing(kafka) as publisher, reading(kafka, topic) as reader:
        await publisher.publish([outgoing(topic, keys[0], n) for n in range(3)])
        await send_bomb(kafka, topic)
        await publisher.publish([outgoing(topic, keys[1], n) for n in range(50)])
        await from_start(reader)
        records: list[Record] = []
        with pytest.raises(BatchUnreadable) as stopped:
            await read_on(reader, records, within_s=10)
        assert (stopped.value.tp, stopped.value.stored) == (tps[0], 3)
        assert [r.offset for r in records if r.partition == 0] == [0, 1, 2]
        assert await reader.poll(100, 0.2) == []
        await reader.seek({tps[0]: 1, tps[1]: 0})
        records = []
        with pytest.raises(BatchUnreadable) as again:
            await read_on(reader, records, within_s=10)
        assert again.value.stored == 3
        assert [r.offset for r in records if r.partition == 0] == [1, 2]
        await reader.seek({tps[0]: 3, tps[1]: 0})
        with pytest.raises(BatchUnreadable):
            await reader.poll(100, 0.2)
        assert [(r.partition, r.offset) for r in await read(reader, 50)] == [
            (1, n) for n in range(50)
        ]
        assert await reader.read_through(tps[0]) == -1


async def test_a_header_name_that_is_no_text_stops_nothing(kafka: str) -> None:
    """A broker takes any bytes for one; the record arrives with them escaped."""
    topic = await new_topic(kafka, partitions=1)
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    try:
        batch = producer.create_batch()
        for name in ("first", "NOTEXT", "last"):
            batch.append(key=b"k", value=b"v", timestamp=None, headers=[(name, b"h")])
        made = bytearray(batch._build()).replace(b"NOTEXT", b"\xff\xfeEXT!")
        made[17:21] = calc_crc32c(bytes(made[21:])).to_bytes(4, "big")
        batch._buffer = bytes(made)
        await (await producer.send_batch(batch, topic, partition=0))
    finally:
        await producer.stop()
    async with reading(kafka, topic) as reader:
        await from_start(reader)
        records = await read(reader, 3)
    assert [dict(each.headers) for each in records] == [
        {"first": b"h"},
        {"\\xff\\xfeEXT!": b"h"},
        {"last": b"h"},
    ]


async def send_bomb(kafka: str, topic: str) -> None:
    """160 MB of zeros in 160 KB, from a client that is not ours."""
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka, compression_type="gzip", max_request_size=1 << 30
    )
    await producer.start()
    try:
        await producer.send_and_wait(topic, b"\0" * (5 * INFLATED_BYTES_MAX), partition=0)
    finally:
        await producer.stop()


async def test_a_message_over_our_limit_is_refused_before_anything_is_sent(kafka: str) -> None:
    """The refusal names the message; nothing of the call has left, and the publisher lives."""
    topic = await new_topic(kafka, partitions=1)
    messages = [outgoing(topic, "k", n, size=200_000 if n == 3 else 0) for n in range(5)]
    async with publishing(kafka, message_bytes_max=100_000) as publisher:
        with pytest.raises(PublishRefused) as refused:
            await publisher.publish(messages)
        assert (refused.value.index, publisher.alive) == (3, True)
        assert await read_all(kafka, [topic]) == []
        await publisher.publish(messages[:3] + messages[4:])
    values = [r.value for r in await read_all(kafka, [topic])]
    assert values == [b"0", b"1", b"2", b"4"]


async def test_a_message_over_the_topics_limit_is_found_and_refused_alone(kafka: str) -> None:
    """The broker refuses a whole batch; the second attempt names the one message."""
    topic = await new_topic(kafka, partitions=1, max_message_bytes="20000")
    messages = [outgoing(topic, "k", n, size=30_000 if n == 2 else 0) for n in range(5)]
    async with publishing(kafka) as publisher:
        with pytest.raises(ClientLost):
            await publisher.publish(messages)
        await publisher.rebuild()
        with pytest.raises(PublishRefused) as refused:
            await publisher.publish(messages)
        assert (refused.value.index, publisher.alive) == (2, False)
        await publisher.rebuild()
        await publisher.publish(messages[:2] + messages[3:])
    values = [r.value for r in await read_all(kafka, [topic])]
    assert values == [b"0", b"1", b"0", b"1", b"3", b"4"]


async def test_a_missing_topic_is_named(kafka: str) -> None:
    """Publishing to it and reading it say which topic, and how to make it."""
    async with publishing(kafka, deadline_s=1.0) as publisher:
        with pytest.raises(TopicsWrong, match=r"nobody\.made\.this: .*baton topics apply"):
            await publisher.publish([outgoing("nobody.made.this", "k", 0)])
    with pytest.raises(TopicsWrong, match=r"nobody\.made\.this"):
        async with reading(kafka, "nobody.made.this"):
            pass


async def test_partition_counts_are_learnt_from_the_cluster(kafka: str) -> None:
    topic = await new_topic(kafka, partitions=3)
    publisher = Publisher(kafka, client_id="test")
    await publisher.start([topic])
    try:
        assert publisher.partition_for(topic, "order-1") == partition_of("order-1", 3)
        with pytest.raises(TopicsWrong, match="unknown topic"):
            publisher.partition_for("unknown topic", "order-1")
    finally:
        await publisher.close()


async def test_a_tail_sees_what_comes_after_it_was_entered(kafka: str) -> None:
    topic = await new_topic(kafka)
    async with publishing(kafka) as publisher:
        await publisher.publish([outgoing(topic, "k", 0)])
        async with Tail(kafka, [topic]) as tail:
            await publisher.publish([outgoing(topic, "k", 1)])
            async with asyncio.timeout(10), aclosing(tail.records()) as records:
                assert (await anext(records)).value == b"1"


async def test_existing_topics_are_left_and_impossible_ones_told(kafka: str) -> None:
    topic = await new_topic(kafka, partitions=3)
    assert await ensure_topics(kafka, [TopicSpec(topic, 5)]) == []
    assert (await describe_topics(kafka))[topic] == 3
    with pytest.raises(TopicsWrong, match="no spaces"):
        await ensure_topics(kafka, [TopicSpec("no spaces", 1)])
    assert await probe(kafka) >= 1


async def test_where_nobody_listens_every_start_says_so_in_time() -> None:
    """Reader, publisher, tail and probe each raise BrokerSilent with the address."""
    publisher = Publisher(NOBODY, client_id="test", deadline_s=1.0)
    reader = Reader(NOBODY, group="g", topics=["t"], client_id="test", tuning=QUICK)
    tail = Tail(NOBODY, ["t"], answer_within_s=1.0)
    attempts = (publisher.start, reader.start, tail.__aenter__, lambda: probe(NOBODY))
    for attempt in attempts:
        async with asyncio.timeout(5):
            with pytest.raises(BrokerSilent, match=NOBODY):
                await attempt()
    await asyncio.gather(publisher.close(), reader.close())


@pytest.fixture
def own_broker(tmp_path: Path) -> Broker:
    """A broker of the test's own, because it is going to be killed."""
    return lone_broker.broker_in(tmp_path)


async def publish_until_acknowledged(publisher: Publisher, messages: list[Outgoing]) -> int:
    """As the relay does: rebuild and send the same again. Returns the attempts."""
    for attempt in range(1, 1000):
        try:
            if not publisher.alive:
                await publisher.rebuild()
            await publisher.publish(messages)
        except (BrokerSilent, ClientLost):
            continue
        return attempt
    raise AssertionError


async def test_a_broker_killed_while_publishing_and_reading_is_survived(
    own_broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No call hangs while it is gone; within 5 s of its return both go on, in order.

    What was given up leaves nothing behind that asyncio would complain about.
    """
    log = tmp_path / "kafka.log"
    process = await lone_broker.start(own_broker, log)
    address, topic = own_broker.address, "killed"
    tps = [TopicPartition(topic, n) for n in range(4)]
    try:
        await ensure_topics(address, [TopicSpec(topic, 4)])
        async with (
            publishing(address, deadline_s=1.5) as publisher,
            reading(address, topic) as reader,
        ):
            await from_start(reader)
            await publisher.publish([outgoing(topic, f"k{n}", 0) for n in range(20)])
            assert len(await read(reader, 20)) == 20
            process.kill()
            await process.wait()
            for call in (
                publisher.publish([outgoing(topic, "k1", 1)]),
                publisher.rebuild(),
                reader.end_offsets(tps),
                reader.log_starts(tps),
                probe(address, answer_within_s=1.0),
            ):
                async with asyncio.timeout(4):
                    with pytest.raises((BrokerSilent, ClientLost)):
                        await call
            process = await lone_broker.start(own_broker, log)
            async with asyncio.timeout(5):
                await publish_until_acknowledged(
                    publisher, [outgoing(topic, f"k{n}", 1) for n in range(20)]
                )
            records = await read(reader, 20, within_s=5)
            assert by_key(records) == {f"k{n}": [b"1"] for n in range(20)}
    finally:
        await lone_broker.stop(process)
    gc.collect()
    assert [each.getMessage() for each in caplog.records if each.name == "asyncio"] == []


async def test_a_frozen_broker_holds_nobody_up(own_broker: Broker, tmp_path: Path) -> None:
    """It accepts connections and answers nothing: every call and every close ends in time."""
    process = await lone_broker.start(own_broker, tmp_path / "kafka.log")
    address, topic = own_broker.address, "frozen"
    tps = [TopicPartition(topic, n) for n in range(4)]
    try:
        await ensure_topics(address, [TopicSpec(topic, 4)])
        async with reading(address, topic) as reader:
            publisher = Publisher(address, client_id="test", deadline_s=1.0)
            await publisher.start()
            await from_start(reader)
            await publisher.publish([outgoing(topic, "k", 0)])
            assert len(await read(reader, 1)) == 1
            process.send_signal(signal.SIGSTOP)
            newcomer = Publisher(address, client_id="new", deadline_s=1.0)
            for call in (
                publisher.publish([outgoing(topic, "k", 1)]),
                publisher.rebuild(),
                newcomer.start(),
                reader.end_offsets(tps),
                reader.commit({tps[0]: 1}),
                probe(address, answer_within_s=1.0),
                Tail(address, [topic], answer_within_s=1.0).__aenter__(),
            ):
                async with asyncio.timeout(3):
                    with pytest.raises((BrokerSilent, ClientLost)):
                        await call
            with suppress(BrokerSilent):
                async with asyncio.timeout(4):
                    assert await reader.poll(10, 0.5) == []
            async with asyncio.timeout(12):
                await asyncio.gather(publisher.close(), newcomer.close())
            process.send_signal(signal.SIGCONT)
            async with asyncio.timeout(5):
                await publish_until_acknowledged(publisher, [outgoing(topic, "k", 2)])
            last = (await read(reader, 1, within_s=15))[-1]
            assert last.value in (b"1", b"2")
            await publisher.close()
    finally:
        process.send_signal(signal.SIGCONT)
        await lone_broker.stop(process)


async def test_a_rebuilt_reader_joins_again_and_goes_on(kafka: str) -> None:
    """A new generation, nothing delivered until sought, then what comes next."""
    topic = await new_topic(kafka)
    async with publishing(kafka) as publisher, reading(kafka, topic) as reader:
        await from_start(reader)
        await publisher.publish([outgoing(topic, f"k{n}", n) for n in range(10)])
        assert len(await read(reader, 10)) == 10
        before = reader.generation
        await reader.rebuild()
        tps = await assigned(reader)
        assert reader.generation > before
        assert await reader.poll(10, 0.3) == []
        ends = await reader.end_offsets(tps)
        await reader.seek(ends)
        await publisher.publish([outgoing(topic, "after", 1)])
        assert by_key(await read(reader, 1)) == {"after": [b"1"]}


async def test_a_member_that_lives_without_fetching_is_given_up(kafka: str) -> None:
    """Behind its log's end at the same position in two looks: ClientLost, and not before."""
    topic = await new_topic(kafka, partitions=1)
    async with publishing(kafka) as publisher, reading(kafka, topic) as reader:
        await from_start(reader)
        await publisher.publish([outgoing(topic, "k", 0)])
        await read(reader, 1)
        assert reader._consumer is not None
        reader._consumer._fetcher._fetch_task.cancel()
        await publisher.publish([outgoing(topic, "k", 1)])
        with pytest.raises(ClientLost, match="stuck"):
            await read_on(reader, [], within_s=3 * QUICK.stuck_after_s)
        await reader.rebuild()
        await from_start(reader)
        assert by_key(await read(reader, 2)) == {"k": [b"0", b"1"]}


async def test_an_idle_member_is_not_given_up(kafka: str) -> None:
    """No messages for longer than `stuck_after_s` is nothing to worry about."""
    topic = await new_topic(kafka, partitions=1)
    tuning = ReaderTuning(session_timeout_ms=6_000, stuck_after_s=0.4)
    async with reading(kafka, topic, tuning=tuning) as reader:
        await from_start(reader)
        assert [await reader.poll(10, 0.1) for _ in range(12)] == [[]] * 12
