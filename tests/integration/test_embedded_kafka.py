"""The embedded broker is a real Kafka that survives being killed, and listens on loopback only."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError

from deploy.local import jars, lone_broker
from deploy.local.broker_probe import ask_brokers
from deploy.local.kafka import Broker

pytestmark = pytest.mark.kafka
PAYLOAD_LARGEST = 3 * 512 * 1024
READ_WITHIN_S = 30


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    """A broker of the test's own, because it is going to be killed. Not yet started."""
    return lone_broker.broker_in(tmp_path)


async def make_topic(address: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def write(address: str, topic: str, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=address, acks="all", enable_idempotence=True, max_request_size=2_000_000
    )
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()


async def read(address: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        async with asyncio.timeout(READ_WITHIN_S):
            return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def test_a_killed_broker_starts_again_with_every_acknowledged_record(
    broker: Broker, tmp_path: Path
) -> None:
    """After kill -9 the same folder gives a broker that still holds what it acknowledged."""
    values = [b"first", b"x" * PAYLOAD_LARGEST, b"last"]
    process = await lone_broker.start(broker, tmp_path / "kafka.log")
    try:
        await make_topic(broker.address, "kept")
        await write(broker.address, "kept", values)
        process.kill()
        await process.wait()
        assert await ask_brokers("127.0.0.1", broker.port) is None
        process = await lone_broker.start(broker, tmp_path / "kafka.log")
        assert await read(broker.address, "kept", len(values)) == values
    finally:
        await lone_broker.stop(process)


async def test_formatting_that_was_killed_is_done_again(broker: Broker) -> None:
    """A draft or a log folder without its properties is what a kill leaves, and is replaced."""
    (broker.folder / "log.draft").mkdir(parents=True)
    broker.logs.mkdir()
    (broker.logs / "half").write_text("written", encoding="utf-8")
    await broker.prepare(jars.class_path())
    first = (broker.logs / "meta.properties").read_text(encoding="utf-8")
    await broker.prepare(jars.class_path())
    assert (broker.logs / "meta.properties").read_text(encoding="utf-8") == first
    assert not (broker.logs / "half").exists()
    assert not (broker.folder / "log.draft").exists()


async def test_a_broker_listens_on_loopback_only(broker: Broker, tmp_path: Path) -> None:
    """Every listening socket of the Java process is bound to 127.0.0.1."""
    process = await lone_broker.start(broker, tmp_path / "kafka.log")
    try:
        assert listening(process.pid) == {
            ("127.0.0.1", broker.port),
            ("127.0.0.1", broker.controller_port),
        }
    finally:
        await lone_broker.stop(process)


async def test_a_topic_nobody_made_does_not_appear(kafka: str) -> None:
    """Automatic creation is off: a typing error in a topic name makes no topic."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, request_timeout_ms=1_000)
    await producer.start()
    try:
        with pytest.raises(UnknownTopicOrPartitionError):
            await producer.partitions_for("nobody.made.this")
    finally:
        await producer.stop()


def listening(pid: int) -> set[tuple[str, int]]:
    """From /proc: the sockets of this process that are in state LISTEN (0A), both families."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        target = str(entry.readlink())
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, port = fields[1].split(":")
                found.add((ip_of(address), int(port, 16)))
    return found


def ip_of(address: str) -> str:
    """The kernel prints little-endian words; a mapped IPv4 address ends in its own word."""
    word = bytes.fromhex(address[-8:])[::-1]
    mapped = len(address) == 8 or address[:24] == "0000000000000000FFFF0000"
    return ".".join(map(str, word)) if mapped else address
