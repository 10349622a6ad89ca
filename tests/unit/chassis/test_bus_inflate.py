"""Compressed batches inflate up to a limit, with every codec that Kafka knows."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from collections.abc import Callable

import pytest
from aiokafka import codec

from services.chassis.bus_inflate import (
    INFLATED_BYTES_MAX,
    Uninflatable,
    gunzip,
    unlz4,
    unsnappy,
    unzstd,
)

Codec = tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]
CODECS: dict[str, Codec] = {
    "gzip": (codec.gzip_encode, gunzip),
    "snappy": (codec.snappy_encode, unsnappy),
    "snappy raw": (lambda data: codec.snappy_encode(data, xerial_compatible=False), unsnappy),
    "lz4": (codec.lz4_encode, unlz4),
    "zstd": (codec.zstd_encode, unzstd),
}
over_all_codecs = pytest.mark.parametrize("name", CODECS)


@over_all_codecs
@pytest.mark.parametrize("data", [b"a", os.urandom(100_000), b"\0" * 5_000_000])
def test_what_is_within_the_limit_comes_back_as_it_was(name: str, data: bytes) -> None:
    """Also what shrinks a thousandfold, as zeros do."""
    compress, inflate = CODECS[name]
    assert inflate(compress(data)) == data


@over_all_codecs
def test_a_bomb_is_refused_before_it_has_grown(name: str) -> None:
    """Four times the limit from a few KB: an error, and never more memory than the limit."""
    compress, inflate = CODECS[name]
    bomb = bytes(compress(b"\0" * (4 * INFLATED_BYTES_MAX)))
    tracemalloc.start()
    try:
        with pytest.raises(Uninflatable):
            inflate(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2.5 * INFLATED_BYTES_MAX


def test_gzip_of_several_members_is_read_whole_and_counted_whole() -> None:
    member = gzip.compress(b"\0" * (INFLATED_BYTES_MAX // 2))
    assert len(gunzip(member + member)) == INFLATED_BYTES_MAX
    with pytest.raises(Uninflatable):
        gunzip(member + member + gzip.compress(b"x"))


@over_all_codecs
def test_a_truncated_batch_is_an_error_not_an_empty_one(name: str) -> None:
    compress, inflate = CODECS[name]
    whole = bytes(compress(os.urandom(100_000)))
    with pytest.raises(Uninflatable):
        inflate(whole[:-20])
