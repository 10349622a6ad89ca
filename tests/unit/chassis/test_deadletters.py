"""Dead letters: the row keeps everything, the copy always fits the topic it goes to."""

from __future__ import annotations

import hashlib

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from company import COMMANDS, NOW_US

from schemas.topics import DEAD_LETTER_BYTES_MAX
from services.chassis.admission import Refused
from services.chassis.deadletters import copy_of, record_of, row_of
from services.chassis.messages import Headers, Outgoing, Record, pack

WHY = Refused("bad_envelope", "\u20ac" * 5_000, "decode")
MIB = 1024 * 1024


def record(
    headers: Headers = (), *, key: bytes | None = b"k", value: bytes | None = b"v"
) -> Record:
    return Record(COMMANDS, 3, 42, 7, key, value, headers)


def copied(of: Record) -> Outgoing:
    return copy_of(of, "rejected", WHY, NOW_US)


def bytes_of(out: Outgoing) -> int:
    """As the client counts that will send it."""
    headers = list(out.headers)
    size: int = DefaultRecordBatchBuilder.estimate_size_in_bytes(
        out.key.encode(), out.value, headers
    )
    return size


@pytest.mark.parametrize(
    "given",
    [
        record((("big", b"x" * 2 * MIB),)),
        record((("n" * 2 * MIB, b""),)),
        record(tuple((f"h{at}", b"x" * 1000) for at in range(5_000))),
        record(tuple(("", b"") for _ in range(100_000))),
        record(tuple(("\u20ac" * 9_000, b"") for _ in range(200))),
        record(key=b"\xff" * 3 * MIB, value=b"v" * 3 * MIB),
        record((("big", b"x" * 60_000),) * 3, key=("\u20ac" * MIB).encode(), value=b"v" * MIB),
    ],
    ids=["value", "name", "many", "empty", "wide", "key", "all"],
)
def test_every_copy_fits_its_topic(given: Record) -> None:
    """Whatever an outsider sends, the broker takes the copy; the row has all of it."""
    assert bytes_of(copied(given)) <= DEAD_LETTER_BYTES_MAX
    row = row_of(1, given, "rejected", WHY, NOW_US)
    assert record_of(row[5:12]) == given


def test_a_copy_says_what_was_cut() -> None:
    """Headers that fit are kept in their order, the others are named with their size."""
    small = (("ce_id", b"1"), ("ce_type", b"\xff"))
    given = record((small[0], ("big", b"x" * 70_000), small[1]))
    headers = copied(given).headers
    assert headers[:2] == small
    assert dict(headers)["dlt-headers-cut"] == b"1: big (70000 bytes)"
    assert "big" not in dict(headers)
    assert "dlt-headers-cut" not in dict(copied(record(small)).headers)


def test_a_long_key_is_cut_and_can_be_told_from_others() -> None:
    """Its size and digest are what a whole one would say."""
    key = b"k" * 5_000
    copy = copied(record(key=key))
    headers = dict(copy.headers)
    assert copy.key == "k" * 1024
    assert headers["dlt-original-key-bytes"] == b"5000"
    assert headers["dlt-original-key-sha256"] == hashlib.sha256(key).hexdigest().encode()
    assert copied(record(key=b"\xff\x01")).key == "ff01"


def test_a_copy_brings_its_headers_as_the_outbox_keeps_them() -> None:
    """So that its size is known to whoever cuts what is published at once."""
    copy = copied(record((("ce_id", b"1"),)))
    assert copy.packed == pack(copy.headers)
