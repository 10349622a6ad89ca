"""What a record is: understood, rejected for good, or parked until this release can read it.

Pure: bytes and headers in, one of three values out. It never raises for what an outsider sent,
and its reasons name the thing and the place, never the payload. Who may write a topic, and which
types may stand on it, is checked here, so that no handler ever sees a message it must not trust.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from schemas.catalogue import Catalogue
from schemas.topics import Topic
from services.chassis.codec import Codec, OutOfBounds, Undecodable, UnknownSchema
from services.chassis.envelope import BadEnvelope, parse, time_us
from services.chassis.messages import Message, Record

RECORD_BYTES_MAX = 256 * 1024
KEY = re.compile(r"[A-Za-z0-9._-]{1,64}")
ANY_WRITER = "*"


class Refused(NamedTuple):
    """A record that is not applied: `final` ones are dead letters, the others park their key."""

    reason: str
    detail: str
    stage: str
    final: bool = True


class Admission:
    """The checks of one process: its codec, and the topics that it reads."""

    def __init__(self, codec: Codec, catalogue: Catalogue, topics: tuple[Topic, ...]) -> None:
        self._codec = codec
        self._types = {topic.name: frozenset(topic.types) for topic in topics}
        self._writers = {topic.name: frozenset(topic.writers) for topic in topics}
        contracts = catalogue.by_type.items()
        self._keys = {python: each.key for python, each in contracts}
        self._names = {python: each.full_name for python, each in contracts}
        self._commands = {python for python, each in contracts if each.answers}

    def admit(self, record: Record) -> Message | Refused:
        shape = self._shape(record)
        if shape is not None:
            return shape
        key = (record.key or b"").decode("utf-8", "replace")
        if not KEY.fullmatch(key):
            return Refused("bad_key", "the record key is no id of [A-Za-z0-9._-]{1,64}", "validate")
        try:
            headers = parse(record.headers)
            at_us = time_us(headers.get("ce_time"), record.timestamp_ms * 1000)
            expires_us = time_us(headers.get("ce_expirytime"), 0)
        except BadEnvelope as error:
            return Refused("bad_envelope", str(error), "decode")
        forged = self._forged(record.topic, headers["ce_source"])
        if forged is not None:
            return forged
        value = record.value or b""
        body = self._body(value)
        if isinstance(body, Refused):
            return body
        return self._allowed(record, headers, key, body) or Message(
            topic=record.topic,
            key=key,
            id=headers["ce_id"],
            source=headers["ce_source"],
            type=headers["ce_type"],
            body=body,
            value=value,
            headers=record.headers,
            time_us=at_us,
            correlation_id=headers.get("ce_correlationid", ""),
            causation_id=headers.get("ce_causationid", ""),
            operation_id=headers.get("ce_operationid", ""),
            traceparent=headers.get("traceparent", ""),
            expires_us=expires_us,
        )

    def _shape(self, record: Record) -> Refused | None:
        size = len(record.value or b"")
        if size > RECORD_BYTES_MAX:
            return Refused("too_large", f"{size} bytes, at most {RECORD_BYTES_MAX}", "decode")
        if record.value is None:
            return Refused("undecodable", "no value: these topics know no tombstones", "decode")
        return None

    def decode(self, value: bytes) -> object:
        """A body that was kept; raises CodecError."""
        return self._codec.decode(value)

    def _forged(self, topic: str, source: str) -> Refused | None:
        """Before the body is read: whoever may not write here cannot park a key here either."""
        writers = self._writers[topic]
        if ANY_WRITER in writers or source in writers:
            return None
        only = ", ".join(sorted(writers))
        return Refused("wrong_writer", f"only {only} may write {topic}", "validate")

    def _body(self, value: bytes) -> object | Refused:
        try:
            return self._codec.decode(value)
        except UnknownSchema as error:
            return Refused("unknown_schema", str(error), "decode", final=False)
        except OutOfBounds as error:
            return Refused("out_of_bounds", str(error), "validate")
        except Undecodable as error:
            return Refused("undecodable", str(error), "decode")

    def _allowed(
        self, record: Record, headers: dict[str, str], key: str, body: object
    ) -> Refused | None:
        """Type, place and key, in this order: the first that is wrong is the reason."""
        name = self._names[type(body)]
        topic = record.topic
        if headers["ce_type"] != name:
            return Refused(
                "wrong_type", f"ce_type says otherwise than the body: {name}", "validate"
            )
        if name not in self._types[topic]:
            return Refused("type_not_allowed", f"{name} has no place on {topic}", "validate")
        if type(body) in self._commands and not headers.get("ce_operationid"):
            return Refused("bad_envelope", "a command names its ce_operationid", "validate")
        field = self._keys[type(body)]
        if getattr(body, field) != key:
            return Refused("key_mismatch", f"the record key is not the body's {field}", "validate")
        return None
