"""Messages and calls as bytes for a column: parts behind their lengths, the value last.

The value is kept byte for byte: what is said again is what was said, never made anew.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from services.chassis.handlers import Call
from services.chassis.items import Begun
from services.chassis.messages import Message, Outgoing, pack, unpack

_LENGTH_BYTES = 4


def _join(head: bytes, rest: bytes) -> bytes:
    return len(head).to_bytes(_LENGTH_BYTES, "big") + head + rest


def _split(packed: bytes) -> tuple[bytes, bytes]:
    end = _LENGTH_BYTES + int.from_bytes(packed[:_LENGTH_BYTES], "big")
    return packed[_LENGTH_BYTES:end], packed[end:]


def pack_reply(reply: Outgoing) -> bytes:
    headers = reply.packed or pack(reply.headers)
    return _join(reply.id.encode(), _join(headers, reply.value))


def unpack_reply(packed: bytes, topic: str, key: str, attempt: int) -> Outgoing:
    message_id, rest = _split(packed)
    headers, value = _split(rest)
    return Outgoing(topic, key, message_id.decode(), value, unpack(headers), attempt, headers)


def pack_message(message: Message) -> bytes:
    head = [
        message.topic,
        message.key,
        message.id,
        message.source,
        message.type,
        message.time_us,
        message.correlation_id,
        message.causation_id,
        message.operation_id,
        message.traceparent,
        message.expires_us,
    ]
    return _join(orjson.dumps(head), _join(pack(message.headers), message.value))


def unpack_message(packed: bytes, decode: Callable[[bytes], object]) -> Message:
    head, rest = _split(packed)
    headers, value = _split(rest)
    topic, key, message_id, source, name, time_us, *links = orjson.loads(head)
    return Message(
        topic,
        key,
        message_id,
        source,
        name,
        decode(value),
        value,
        unpack(headers),
        time_us,
        *links,
    )


def pack_begun(begun: Begun) -> bytes:
    call = begun.call
    command = b"" if begun.command is None else pack_message(begun.command)
    return _join(orjson.dumps([call.name, dict(call.body), call.id, begun.what]), command)


def unpack_begun(
    packed: bytes, key: str, source: str, operation: str, decode: Callable[[bytes], object]
) -> Begun:
    head, command = _split(packed)
    name, body, call_id, what = orjson.loads(head)
    return Begun(
        key,
        source,
        operation,
        what,
        Call(name, body, call_id),
        unpack_message(command, decode) if command else None,
    )
