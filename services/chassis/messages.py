"""What travels: records as they were read, messages as they are understood and sent.

Nothing here touches Kafka, Avro or a database. A message that is sent is made once: `Outgoing`
holds its bytes and headers, and every further attempt is the same id, key and bytes. These are
named tuples because some are made for every message: a frozen dataclass costs four times as much.
Source of the header names: CloudEvents 1.0, Kafka protocol binding, binary mode.
"""

from __future__ import annotations

from typing import NamedTuple

import orjson

Headers = tuple[tuple[str, bytes], ...]


def pack(headers: Headers) -> bytes:
    """Headers as bytes for a column; latin-1 inside, so that any byte comes back as it was."""
    return orjson.dumps([(name, value.decode("latin-1")) for name, value in headers])


def unpack(packed: bytes) -> Headers:
    return tuple([(name, value.encode("latin-1")) for name, value in orjson.loads(packed)])


class TopicPartition(NamedTuple):
    topic: str
    partition: int


class Record(NamedTuple):
    """One Kafka record, not yet understood. `timestamp_ms` is the log's."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Message(NamedTuple):
    """A record that was understood: its envelope, its body and the bytes it came in."""

    topic: str
    key: str
    id: str
    source: str
    type: str
    body: object
    value: bytes
    headers: Headers
    time_us: int
    correlation_id: str = ""
    causation_id: str = ""
    operation_id: str = ""
    traceparent: str = ""
    expires_us: int = 0


class Outgoing(NamedTuple):
    """A made message, ready for the outbox. `attempt` counts the times it is sent, from 1.

    `packed` is the headers as a column keeps them, where whoever made the message has them.
    """

    topic: str
    key: str
    id: str
    value: bytes
    headers: Headers
    attempt: int = 1
    packed: bytes = b""
