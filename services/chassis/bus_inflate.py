"""A limit on what a compressed batch may become: 100 KB of gzip can hold 100 MB.

aiokafka inflates without one, and brokers count compressed bytes. The functions here replace its
own, once a process, when the first reader starts; a batch that would grow beyond the limit raises
before it has.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable

import cramjam
from aiokafka import codec
from aiokafka.record import default_records
from aiokafka.record.default_records import DefaultRecordBatch

INFLATED_BYTES_MAX = 32 * 1024 * 1024
_XERIAL_HEADER_BYTES = 16
_FIRST_GUESS = 8

Payload = bytes | bytearray | memoryview


class Uninflatable(Exception):
    def __init__(self) -> None:
        super().__init__(f"holds over {INFLATED_BYTES_MAX} bytes, or nothing that can be inflated")


def install() -> None:
    """Idempotent. The modules that hold the batch classes, compiled and not, call these names."""
    for reading in (sys.modules[DefaultRecordBatch.__module__], default_records):
        for name, inflate in {
            "gzip_decode": gunzip,
            "snappy_decode": unsnappy,
            "lz4_decode": unlz4,
            "zstd_decode": unzstd,
        }.items():
            assert hasattr(reading, name), f"aiokafka no longer calls {name}"
            setattr(reading, name, inflate)


def gunzip(payload: Payload) -> bytes:
    """Also of several members, one after the other."""
    whole, left = bytearray(), bytes(payload)
    while left:
        member = zlib.decompressobj(wbits=31)
        try:
            whole += member.decompress(left, INFLATED_BYTES_MAX - len(whole) + 1)
        except zlib.error as error:
            raise Uninflatable from error
        if len(whole) > INFLATED_BYTES_MAX or not member.eof:
            raise Uninflatable
        left = member.unused_data
    return bytes(whole)


def unsnappy(payload: Payload) -> bytes:
    """Each block says its length; Java's stream has many."""
    try:
        sizes = map(cramjam.snappy.decompress_raw_len, _snappy_blocks(payload))
        if sum(sizes) > INFLATED_BYTES_MAX:
            raise Uninflatable
        return bytes(codec.snappy_decode(payload))
    except (cramjam.DecompressionError, struct.error) as error:
        raise Uninflatable from error


def unlz4(payload: Payload) -> bytes:
    return _grown(payload, cramjam.lz4.decompress_into)


def unzstd(payload: Payload) -> bytes:
    return _grown(payload, cramjam.zstd.decompress_into)


def _snappy_blocks(payload: Payload) -> list[bytes]:
    if not codec._detect_xerial_stream(payload):  # noqa: SLF001
        return [bytes(payload)]
    blocks, whole, at = [], bytes(payload), _XERIAL_HEADER_BYTES
    while at < len(whole):
        (size,) = struct.unpack_from("!i", whole, at)
        if size <= 0:
            raise Uninflatable
        blocks.append(whole[at + 4 : at + 4 + size])
        at += 4 + size
    return blocks


def _grown(payload: Payload, inflate: Callable[[bytes, bytearray], int]) -> bytes:
    """Into a buffer, a larger one if that was too small, up to the limit."""
    given = bytes(payload)
    size = min(max(64 * 1024, _FIRST_GUESS * len(given)), INFLATED_BYTES_MAX)
    while True:
        buffer = bytearray(size)
        try:
            return bytes(memoryview(buffer)[: inflate(given, buffer)])
        except cramjam.DecompressionError as error:
            if size == INFLATED_BYTES_MAX:
                raise Uninflatable from error
            size = min(4 * size, INFLATED_BYTES_MAX)
