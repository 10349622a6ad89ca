"""Batches that are not what a client of ours would write: what is read, what stops, and where."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator

import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import ConsumerRecord
from aiokafka.structs import TopicPartition as KafkaTopicPartition

from services.chassis import bus_batches, bus_inflate
from services.chassis.bus_batches import Unreadable
from services.chassis.messages import TopicPartition

PLACE = KafkaTopicPartition("t", 3)
NO_TEXT = "NOTEXT"  # stands for bytes that are no UTF-8, as long
BYTES = b"\xff\xfeTEXT"
GZIP = 1


@pytest.fixture(autouse=True)
def _as_in_a_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The fetcher is the whole process's: other tests shall find it as it was."""
    for name in ("MemoryRecords", "PartitionRecords"):
        monkeypatch.setattr(fetcher, name, getattr(fetcher, name))
    bus_batches.install()
    return iter(())


def batch(base: int, *names: str, compressed: bool = False, value: bytes = b"v") -> bytes:
    """One record for each header name, from this offset on."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=GZIP if compressed else 0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 30,
    )
    for at, name in enumerate(names):
        headers = [(name, b"h"), ("none", None)]
        assert builder.append(at, timestamp=7, key=b"k", value=value, headers=headers)
    made = bytearray(builder.build())
    if compressed:
        inflated = bus_inflate.gunzip(bytes(made[61:])).replace(NO_TEXT.encode(), BYTES)
        made[61:] = gzip.compress(inflated)
        struct.pack_into(">i", made, 8, len(made) - 12)
    made = made.replace(NO_TEXT.encode(), BYTES)
    struct.pack_into(">q", made, 0, base)
    return signed(made)


def signed(made: bytearray) -> bytes:
    struct.pack_into(">I", made, 17, calc_crc32c(bytes(made[21:])))
    return bytes(made)


def broken(base: int) -> bytes:
    """A batch whose sum is wrong."""
    made = bytearray(batch(base, "a"))
    made[17] ^= 0xFF
    return bytes(made)


def _next_offset(made: bytes) -> int:
    base, last = struct.unpack_from(">q", made)[0], struct.unpack_from(">i", made, 23)[0]
    return int(base) + int(last) + 1


class Fetched:
    """One fetch of one partition, taken as the consumer takes it."""

    def __init__(self, *batches: bytes, at: int = 0) -> None:
        subscriptions = SubscriptionState()
        subscriptions.assign_from_user({PLACE})
        self.assignment = subscriptions.subscription.assignment
        self.batches = batches
        self.state = self.assignment.state_value(PLACE)
        self.state.seek(at)

    def take(self, most: int | None = None) -> list[ConsumerRecord]:
        """Of a fresh fetch, which begins with the batch that holds the position."""
        at = self.state.position
        data = b"".join(each for each in self.batches if _next_offset(each) > at)
        records = fetcher.PartitionRecords(
            PLACE,
            fetcher.MemoryRecords(data),
            [],
            at,
            key_deserializer=None,
            value_deserializer=None,
            check_crcs=True,
            isolation_level=fetcher.READ_COMMITTED,
        )
        result = fetcher.FetchResult(
            PLACE, assignment=self.assignment, partition_records=records, backoff=0
        )
        found: list[ConsumerRecord] = result.getall(most)
        return found

    def names(self, most: int | None = None) -> list[tuple[int, str]]:
        """Offset and first header name of each."""
        return [(each.offset, each.headers[0][0]) for each in self.take(most)]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("most", [None, 1, 2])
async def test_a_header_name_that_is_no_text_is_read_with_its_bytes_escaped(
    most: int | None, *, compressed: bool
) -> None:
    """The record and its neighbours arrive, once each, in their order, however few are asked."""
    fetched = Fetched(
        batch(0, "a", "b"),
        batch(2, "c", NO_TEXT, "d", compressed=compressed),
        batch(5, NO_TEXT, compressed=compressed),
        batch(6, "e"),
    )
    found: list[tuple[int, str]] = []
    while fetched.state.position < 7:
        found += fetched.names(most)
    escaped = "\\xff\\xfeTEXT"
    assert found == list(enumerate(["a", "b", "c", escaped, "d", escaped, "e"]))


async def test_what_a_forgiven_record_holds_is_what_was_sent() -> None:
    """Key, value, time and the other headers, byte for byte."""
    (record,) = Fetched(batch(4, NO_TEXT, value=b"\xff\x00"), at=4).take()
    assert (record.offset, record.key, record.value, record.timestamp) == (4, b"k", b"\xff\x00", 7)
    assert record.headers == (("\\xff\\xfeTEXT", b"h"), ("none", None))


@pytest.mark.parametrize("good", [0, 2])
async def test_a_batch_that_cannot_be_read_stops_where_it_begins(good: int) -> None:
    """What comes before it in the same fetch is handed out first, and counts."""
    fetched = Fetched(*[batch(at, "a") for at in range(good)], broken(good), batch(good + 1, "b"))
    if good:
        assert fetched.names() == [(at, "a") for at in range(good)]
    assert fetched.state.position == good
    with pytest.raises(Unreadable) as stopped:
        fetched.take()
    assert (stopped.value.place, stopped.value.offset) == (TopicPartition("t", 3), good)
    assert isinstance(stopped.value.reason, CorruptRecordException)
    assert fetched.state.position == good


async def test_a_bomb_with_a_name_that_is_no_text_is_still_a_bomb() -> None:
    """The slower way of reading has the same limits on inflating."""
    bomb = batch(0, NO_TEXT, compressed=True, value=b"\0" * (bus_inflate.INFLATED_BYTES_MAX - 100))
    assert Fetched(bomb).names() == [(0, "\\xff\\xfeTEXT")]
    with pytest.raises(bus_inflate.Uninflatable):
        list(bus_batches._ForgivingBatch(_too_large()))


def _too_large() -> bytes:
    made = bytearray(batch(0, "a", compressed=True))
    made[61:] = gzip.compress(b"\0" * (bus_inflate.INFLATED_BYTES_MAX + 1))
    return signed(made)
