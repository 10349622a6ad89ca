"""Topics as a reader of their newest records meets them, without Kafka."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from orchestra import CATALOGUE, CODEC

from services.chassis.bus import BrokerSilent
from services.chassis.envelope import Cause, Maker
from services.chassis.messages import Record


@dataclass
class KafkaLog:
    """`opened_times`, `open`: readers of each topic so far, and now. `silent`: nobody answers."""

    records: list[Record] = field(default_factory=list)
    opened_times: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    reads: int = 0
    silent: bool = False

    def write(self, topic: str, value: bytes | None, at_ms: int, **more: object) -> None:
        """`more`: key, headers, partition."""
        partition = int(str(more.get("partition", 0)))
        offset = sum((each.topic, each.partition) == (topic, partition) for each in self.records)
        key, headers = more.get("key", b""), more.get("headers", ())
        assert isinstance(key, bytes)
        assert isinstance(headers, tuple)
        self.records.append(Record(topic, partition, offset, at_ms, key, value, headers))

    def publish(self, topic: str, body: object, at_ms: int, *, partition: int = 0) -> None:
        maker = Maker("shop", CODEC, CATALOGUE)
        made = maker.event(body, f"e-{len(self.records)}", at_ms * 1000, Cause())
        where = {"key": made.key.encode(), "headers": made.headers, "partition": partition}
        self.write(topic, made.value, at_ms, **where)

    @asynccontextmanager
    async def opened(self, topic: str) -> AsyncIterator[_Reader]:
        if self.silent:
            raise BrokerSilent("127.0.0.1:9092", 3.0)
        self.opened_times.append(topic)
        self.open.append(topic)
        try:
            yield _Reader(self, topic)
        finally:
            self.open.remove(topic)


@dataclass
class _Reader:
    log: KafkaLog
    topic: str
    read: int = 0

    async def newest(self) -> AsyncGenerator[Record, None]:
        if self.log.silent:
            raise BrokerSilent("127.0.0.1:9092", 3.0)
        self.log.reads += 1
        mine = [each for each in self.log.records if each.topic == self.topic]
        for each in mine[self.read :]:
            yield each
        self.read = len(mine)
