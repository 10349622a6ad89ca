"""What a log may hold that aiokafka cannot read: it stops its own partition, at its own offset.

Brokers take what keeps their framing, from anybody: a header name that is no text, a batch that
inflates without end. aiokafka raises for it while it hands out what came before, for ever. What
replaces its parts here, once a process, reads such a name with its bytes escaped, hands out every
record before a batch that cannot be read, and then says where that begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import SupportsIndex, overload

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.structs import ConsumerRecord

from services.chassis import bus_inflate
from services.chassis.messages import TopicPartition

_FRAME_BYTES = 12  # base offset and length: what stands before that length counts
_TheirRecords: type = fetcher.MemoryRecords
_TheirPartition: type = fetcher.PartitionRecords


class Unreadable(Exception):
    """The batch at this offset; all before it was handed out."""

    def __init__(self, place: TopicPartition, offset: int, reason: Exception) -> None:
        self.place, self.offset, self.reason = place, offset, reason
        super().__init__(f"{place.topic}[{place.partition}] at {offset}: {reason!r}")


def install() -> None:
    """Idempotent; with the limits on inflating."""
    bus_inflate.install()
    fetcher.MemoryRecords = KeptRecords
    fetcher.PartitionRecords = ReadableRecords


class KeptRecords(_TheirRecords):  # type: ignore[misc]  # aiokafka ships no types
    """The batches of one fetch, with the bytes they are."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        super().__init__(data)


class ReadableRecords(_TheirPartition):  # type: ignore[misc]
    """The records of one fetch of one partition."""

    _records: KeptRecords | _ForgivingRecords

    def _unpack_records(self) -> Iterator[ConsumerRecord]:
        begun_at = self.next_fetch_offset
        try:
            try:
                yield from super()._unpack_records()
            except UnicodeDecodeError:
                assert isinstance(self._records, KeptRecords)
                self._records = _ForgivingRecords(self._records.data, self.next_fetch_offset)
                yield from super()._unpack_records()
        except Exception as error:
            if self.next_fetch_offset == begun_at:
                raise Unreadable(TopicPartition(*self._tp), begun_at, error) from error
            # Ends here: what was handed out counts, and the next fetch begins at the bad batch.


class _ForgivingRecords:
    """The batches from the one with this offset on, read more slowly and less strictly."""

    def __init__(self, data: bytes, offset: int) -> None:
        self._batches = [each for each in _batches(data) if each.next_offset > offset]

    def has_next(self) -> bool:
        return bool(self._batches)

    def next_batch(self) -> _ForgivingBatch:
        return self._batches.pop(0)


class _ForgivingBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Escaping(self._buffer)


class _Escaping(bytearray):
    """Of its slices only header names are ever decoded."""

    @overload
    def __getitem__(self, at: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> _Escaping: ...
    def __getitem__(self, at: SupportsIndex | slice) -> int | _Escaping:
        if isinstance(at, slice):
            return _Escaping(super().__getitem__(at))
        return super().__getitem__(at)

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


def _batches(data: bytes) -> Iterator[_ForgivingBatch]:
    """Only whole ones; a name that is no text is in none of an older format."""
    at = 0
    while at + _FRAME_BYTES <= len(data):
        end = at + _FRAME_BYTES + int.from_bytes(data[at + 8 : at + _FRAME_BYTES], "big")
        if end > len(data):
            return
        yield _ForgivingBatch(data[at:end])
        at = end
