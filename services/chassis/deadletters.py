"""Records that were not applied: the row that is the truth, and the copy for outsiders.

The row keeps the record byte for byte, so that a redrive applies what came in. The copy goes to
`<topic>.dlt` with the same key, value and headers, and `dlt-*` headers in text saying why. It
always fits there: what is too large is cut, with its size in a header, because a copy that no
broker takes would never leave the outbox.
"""

from __future__ import annotations

import hashlib

from schemas.topics import dead_letter_topic
from services.chassis.admission import Refused
from services.chassis.envelope import timestamp
from services.chassis.messages import Headers, Outgoing, Record, pack, unpack
from services.chassis.store import Row

VALUE_BYTES_MAX = 1024 * 1024
_HEADERS_KEPT_MAX = 128
_HEADER_BYTES_KEPT_MAX = 64 * 1024
_KEY_KEPT_MAX = 1024
_CUT_NAMED_MAX = 8


def row_of(key: int, record: Record, kind: str, refused: Refused, now_us: int) -> Row:
    """The columns of `dead.add`."""
    return (
        key,
        kind,
        refused.reason,
        refused.detail,
        refused.stage,
        record.topic,
        record.partition,
        record.offset,
        record.timestamp_ms,
        record.key,
        record.value,
        pack(_text(record)),
        now_us,
    )


def record_of(cells: Row) -> Record:
    """The record as it came, from topic … headers of a row."""
    topic, partition, offset, timestamp_ms, key, value, headers = cells
    return Record(
        str(topic),
        int(partition or 0),
        int(offset or 0),
        int(timestamp_ms or 0),
        key if isinstance(key, bytes) else None,
        value if isinstance(value, bytes) else None,
        unpack(headers if isinstance(headers, bytes) else b"[]"),
    )


def copy_of(record: Record, kind: str, refused: Refused, now_us: int) -> Outgoing:
    value = record.value or b""
    origin = f"{record.topic}/{record.partition}/{record.offset}"
    why = {
        "dlt-original-topic": record.topic,
        "dlt-original-partition": str(record.partition),
        "dlt-original-offset": str(record.offset),
        "dlt-original-timestamp": str(record.timestamp_ms),
        "dlt-kind": kind,
        "dlt-error-class": refused.reason,
        "dlt-error-message": refused.detail[:512],
        "dlt-stage": refused.stage,
        "dlt-failed-at": timestamp(now_us),
    }
    if len(value) > VALUE_BYTES_MAX:
        why["dlt-original-bytes"] = str(len(value))
        why["dlt-original-sha256"] = hashlib.sha256(value).hexdigest()
        value = value[:VALUE_BYTES_MAX]
    key = _key(record.key or b"", why)
    kept, cut = _that_fit(_text(record))
    if cut:
        named = ", ".join(f"{name[:64]} ({size} bytes)" for name, size in cut[:_CUT_NAMED_MAX])
        why["dlt-headers-cut"] = f"{len(cut)}: {named}"
    headers = (*kept, *((name, told.encode()) for name, told in why.items()))
    identity = f"{origin}/dlt"
    return Outgoing(
        dead_letter_topic(record.topic), key, identity, value, headers, packed=pack(headers)
    )


def _key(key: bytes, why: dict[str, str]) -> str:
    """The copy's key; `why` is told where it is not the record's."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        text = why["dlt-original-key-hex"] = key.hex()[:_KEY_KEPT_MAX]
    if len(key) > _KEY_KEPT_MAX:
        why["dlt-original-key-bytes"] = str(len(key))
        why["dlt-original-key-sha256"] = hashlib.sha256(key).hexdigest()
    return text[:_KEY_KEPT_MAX]


def _that_fit(headers: Headers) -> tuple[list[tuple[str, bytes]], list[tuple[str, int]]]:
    """Those that the copy takes with it, in their order; name and size of each other one."""
    kept: list[tuple[str, bytes]] = []
    cut: list[tuple[str, int]] = []
    left = _HEADER_BYTES_KEPT_MAX
    for name, value in headers:
        size = len(name.encode()) + len(value)
        if size > left or len(kept) == _HEADERS_KEPT_MAX:
            cut.append((name, len(value)))
            continue
        left -= size
        kept.append((name, value))
    return kept, cut


def _text(record: Record) -> Headers:
    return tuple((name, value or b"") for name, value in record.headers)
