"""The id that Kafka gives a topic when it is made: one made anew under its name has another.

aiokafka 0.14 speaks metadata up to version 5; ids come with version 12 (Kafka 3.1). The shapes of
that one request stand here. A broker that does not speak it tells no ids, which is no fault.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from uuid import UUID

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

TEXT, TAGS = CompactString("utf-8"), ("tags", TaggedFields)
NONE, NO_TAGS = UUID(int=0), dict[int, bytes]()


class Uuid(AbstractType):  # type: ignore[misc]  # aiokafka ships no types
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


BROKER = (("node", Int32), ("host", TEXT), ("port", Int32), ("rack", TEXT), TAGS)
NUMBERS = tuple((name, Int32) for name in ("partition", "leader", "epoch"))
NODES = tuple((name, CompactArray(Int32)) for name in ("replicas", "isr", "offline"))
PARTITIONS = CompactArray(("error", Int16), *NUMBERS, *NODES, TAGS)
TOPIC = (
    *(("error", Int16), ("name", TEXT), ("id", Uuid), ("internal", Boolean)),
    *(("partitions", PARTITIONS), ("operations", Int32), TAGS),
)


class TopicsDescribed(Response):  # type: ignore[misc]
    API_KEY, API_VERSION = 3, 12
    SCHEMA = Schema(
        *(("throttle_ms", Int32), ("brokers", CompactArray(*BROKER)), ("cluster", TEXT)),
        *(("controller", Int32), ("topics", CompactArray(*TOPIC)), TAGS),
    )


class Describe(RequestStruct):  # type: ignore[misc]
    API_KEY, API_VERSION, FLEXIBLE_VERSION, RESPONSE_TYPE = 3, 12, True, TopicsDescribed
    SCHEMA = Schema(
        ("topics", CompactArray(("id", Uuid), ("name", TEXT), TAGS)),
        *(("create", Boolean), ("operations", Boolean), TAGS),
    )


class DescribeTopics(Request[Describe]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, names: Iterable[str]) -> None:
        self._asked = [(NONE, name, NO_TAGS) for name in names]

    def build(self, shape: type[Describe]) -> Describe:
        return shape(self._asked, False, False, NO_TAGS)


async def topic_ids(client: AIOKafkaClient, names: Iterable[str]) -> dict[str, str]:
    """By name; nothing of a topic that is not there, nothing at all where brokers know no ids."""
    try:
        answer = await client.send(client.get_random_node(), DescribeTopics(names))
    except NotImplementedError:
        return {}
    return {name: str(given) for _, name, given, *_ in answer.topics if given != NONE}
