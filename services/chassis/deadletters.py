"""Records that were not applied: the row that is the truth, and the copy for outsiders.

The row keeps the record byte for byte, so that a redrive applies what came in. The copy goes to
`<topic>.dlt` with the same key, value and headers, and `dlt-*` headers in text saying why.
"""

from __future__ import annotations

import hashlib

from schemas.topics import dead_letter_topic
from services.chassis.admission import Refused
from services.chassis.envelope import timestamp
from services.chassis.messages import Outgoing, Record, pack, unpack
from services.chassis.store import Row

VALUE_BYTES_MAX = 1024 * 1024
_HEADERS_KEPT_MAX = 128


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
    key = record.key or b""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        text = key.hex()
        why["dlt-original-key-hex"] = text
    headers = (*_text(record)[:_HEADERS_KEPT_MAX], *((k, v.encode()) for k, v in why.items()))
    return Outgoing(dead_letter_topic(record.topic), text, f"{origin}/dlt", value, headers)


def _text(record: Record) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, value or b"") for name, value in record.headers)
