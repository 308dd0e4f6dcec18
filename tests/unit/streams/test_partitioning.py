"""Worker, producer and Kafka agree on where a key lies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as reference

from streams.partitioning import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "signed"),
    [  # the values of Kafka's own test of its Java implementation
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_that_of_the_java_client(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed % 2**32


@given(st.binary(max_size=64))
def test_the_hash_is_that_of_the_python_client(key: bytes) -> None:
    assert murmur2(key) == reference(key) % 2**32


@given(st.binary(max_size=64), st.integers(1, 1024))
def test_a_key_lies_on_one_of_the_partitions(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (reference(key) & 0x7FFFFFFF) % partitions


def test_there_is_no_partition_of_none() -> None:
    with pytest.raises(ValueError, match="0 partitions"):
        partition_of(b"k", 0)
