"""CloudEvents 1.0 in Kafka binary mode: headers made once for what we say, read from others.

Source: CloudEvents Kafka protocol binding 1.0, binary content mode; correlation extension for
`ce_correlationid` (the business flow) and `ce_causationid` (the direct cause).
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

import orjson

from schemas.catalogue import Catalogue
from services.chassis.codec import Codec
from services.chassis.messages import Headers, Message, Outgoing, pack

CONTENT_TYPE = "application/avro"
HEADERS_MAX = 64
HEADER_BYTES_MAX = 4096
_REQUIRED = ("ce_specversion", "ce_id", "ce_source", "ce_type")
_READ = frozenset(
    {
        *_REQUIRED,
        "ce_time",
        "ce_correlationid",
        "ce_causationid",
        "ce_operationid",
        "ce_expirytime",
        "content-type",
        "traceparent",
    }
)


class BadEnvelope(Exception):
    """The headers are not those of a CloudEvent; says which one and why."""


class Cause(NamedTuple):
    """What an outgoing message answers to: copied into its headers."""

    correlation_id: str = ""
    causation_id: str = ""
    operation_id: str = ""
    traceparent: str = ""


@lru_cache(maxsize=16)  # a batch has one time
def timestamp(time_us: int) -> str:
    """RFC 3339 in UTC with microseconds."""
    return datetime.fromtimestamp(time_us / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Maker:
    """Makes outgoing messages of one source, once: bytes, headers, topic and key."""

    def __init__(self, source: str, codec: Codec, catalogue: Catalogue) -> None:
        self.source = source
        self.codec = codec
        self._contracts = catalogue.by_type
        self._fixed: dict[type, tuple[Headers, bytes]] = {}

    def _fix(self, python: type) -> tuple[Headers, bytes]:
        """What every message of this type says alike, and the same packed."""
        name = self._contracts[python].full_name
        fixed = (
            ("ce_specversion", b"1.0"),
            ("ce_source", self.source.encode()),
            ("ce_type", name.encode()),
            ("ce_dataschema", f"urn:avro:{name}".encode()),
            ("content-type", CONTENT_TYPE.encode()),
        )
        self._fixed[python] = fixed, pack(fixed)[:-1] + b","
        return self._fixed[python]

    def refusals_of(self, command: object) -> tuple[str, ...]:
        """Types that say no to it."""
        return self._contracts[type(command)].refusals

    def event(self, body: object, message_id: str, time_us: int, cause: Cause) -> Outgoing:
        """A message on its contract's own topic, under its contract's own key."""
        contract = self._contracts[type(body)]
        if contract.topic is None:
            raise ValueError(f"{contract.full_name} has no topic of its own: it is a reply")
        key = str(getattr(body, contract.key))
        return self.message(contract.topic, key, body, message_id, time_us, cause)

    def message(
        self, topic: str, key: str, body: object, message_id: str, time_us: int, cause: Cause
    ) -> Outgoing:
        fixed, packed_fixed = self._fixed.get(type(body)) or self._fix(type(body))
        text = [
            ("ce_id", message_id),
            ("ce_time", timestamp(time_us)),
            ("ce_subject", key),
        ]
        if cause.correlation_id:
            text.append(("ce_correlationid", cause.correlation_id))
        if cause.causation_id:
            text.append(("ce_causationid", cause.causation_id))
        if cause.operation_id:
            text.append(("ce_operationid", cause.operation_id))
        if cause.traceparent:
            text.append(("traceparent", cause.traceparent))
        headers = (*fixed, *[(name, value.encode()) for name, value in text])
        packed = packed_fixed + orjson.dumps(text)[1:]
        if not packed.isascii():
            packed = pack(headers)
        return Outgoing(topic, key, message_id, self.codec.encode(body), headers, 1, packed)


def cause_of(message: Message) -> Cause:
    """What a direct consequence of this message says of its origin."""
    return Cause(message.correlation_id, message.id, message.operation_id, message.traceparent)


def parse(headers: Headers) -> dict[str, str]:
    """The headers as text; raises BadEnvelope where one is missing, unreadable or too long."""
    if len(headers) > HEADERS_MAX:
        raise BadEnvelope(f"more than {HEADERS_MAX} headers")
    found = _read(headers)
    for name in _REQUIRED:
        if name not in found or not found[name]:
            raise BadEnvelope(f"header {name} is missing: send CloudEvents 1.0 in binary mode")
    if found["ce_specversion"] != "1.0":
        raise BadEnvelope("ce_specversion is not 1.0")
    if len(found["ce_id"]) > 256 or len(found["ce_source"]) > 128:
        raise BadEnvelope("ce_id may have 256 characters, ce_source 128")
    if len(found.get("ce_operationid", "")) > 256:
        raise BadEnvelope("ce_operationid may have 256 characters")
    if not "".join(found.values()).isprintable():
        raise BadEnvelope("a header holds control characters")
    if found.get("content-type", CONTENT_TYPE) != CONTENT_TYPE:
        raise BadEnvelope(f"content-type is not {CONTENT_TYPE}")
    return found


def _read(headers: Headers) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        if len(value or b"") > HEADER_BYTES_MAX:
            raise BadEnvelope(f"header {name[:64]} has more than {HEADER_BYTES_MAX} bytes")
        if name in _READ:
            try:
                found[name] = value.decode()
            except (UnicodeDecodeError, AttributeError) as error:
                raise BadEnvelope(f"header {name} is not UTF-8 text") from error
    return found


def time_us(text: str | None, otherwise_us: int) -> int:
    """RFC 3339 to microseconds; a missing time is the log's, a broken one raises BadEnvelope."""
    if text is None:
        return otherwise_us
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadEnvelope("ce_time is not RFC 3339") from error
    if moment.tzinfo is None:
        raise BadEnvelope("ce_time has no zone")
    return round(moment.timestamp() * 1_000_000)
