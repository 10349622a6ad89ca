"""Keys go to the partition that Java's clients would choose, and to no other."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2

from services.chassis.bus_publish import partition_of

# Of Apache Kafka's own UtilsTest, as signed 32-bit numbers.
JAVA = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


@pytest.mark.parametrize(("key", "hashed"), JAVA.items())
def test_the_hash_is_java_s(key: str, hashed: int) -> None:
    assert murmur2(key.encode()) == hashed & 0xFFFFFFFF


@pytest.mark.parametrize(("key", "hashed"), JAVA.items())
@pytest.mark.parametrize("partitions", [1, 4, 12])
def test_the_partition_is_the_positive_hash_by_the_count(
    key: str, hashed: int, partitions: int
) -> None:
    assert partition_of(key, partitions) == (hashed & 0x7FFFFFFF) % partitions


def test_a_key_is_hashed_in_utf_8() -> None:
    """As every Kafka client writes it."""
    assert partition_of("größe-1", 1000) == (murmur2("größe-1".encode()) & 0x7FFFFFFF) % 1000
