"""Messages and calls as bytes for a column: a JSON head, its length before it, the value behind.

The value is kept byte for byte: what is said again is what was said, never made anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from services.chassis.handlers import Call
from services.chassis.items import Begun
from services.chassis.messages import Headers, Message, Outgoing

_LENGTH_BYTES = 4


def _join(head: object, value: bytes) -> bytes:
    text = orjson.dumps(head)
    return len(text).to_bytes(_LENGTH_BYTES, "big") + text + value


def _split(packed: bytes) -> tuple[Any, bytes]:  # the head is JSON of this module's own making
    end = _LENGTH_BYTES + int.from_bytes(packed[:_LENGTH_BYTES], "big")
    return orjson.loads(packed[_LENGTH_BYTES:end]), packed[end:]


def _text(headers: Headers) -> list[tuple[str, str]]:
    return [(name, value.decode("latin-1")) for name, value in headers]


def _headers(text: list[tuple[str, str]]) -> Headers:
    return tuple((name, value.encode("latin-1")) for name, value in text)


def pack_reply(reply: Outgoing) -> bytes:
    return _join([reply.id, _text(reply.headers)], reply.value)


def unpack_reply(packed: bytes, topic: str, key: str, attempt: int) -> Outgoing:
    (message_id, headers), value = _split(packed)
    return Outgoing(topic, key, message_id, value, _headers(headers), attempt)


def pack_message(message: Message) -> bytes:
    head = [
        message.topic, message.key, message.id, message.source, message.type, message.time_us,
        message.correlation_id, message.causation_id, message.operation_id, message.traceparent,
        message.expires_us, _text(message.headers),
    ]
    return _join(head, message.value)


def unpack_message(packed: bytes, decode: Callable[[bytes], object]) -> Message:
    head, value = _split(packed)
    topic, key, message_id, source, name, time_us, *rest, headers = head
    return Message(
        topic, key, message_id, source, name, decode(value), value, _headers(headers), time_us,
        *rest,
    )


def pack_begun(begun: Begun) -> bytes:
    call = begun.call
    command = b"" if begun.command is None else pack_message(begun.command)
    return _join([call.name, dict(call.body), call.id, begun.what], command)


def unpack_begun(
    packed: bytes, key: str, source: str, operation: str, decode: Callable[[bytes], object]
) -> Begun:
    (name, body, call_id, what), command = _split(packed)
    return Begun(
        key, source, operation, what, Call(name, body, call_id),
        unpack_message(command, decode) if command else None,
    )
