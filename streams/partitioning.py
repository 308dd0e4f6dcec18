"""Which partition a key lies on: Kafka's own murmur2 rule, the one the Java client and kafka-python use.

A user's memory lives in the shard of its partition, so worker and producer must agree on this function.
(librdkafka's default hashes differently: its `partitioner` has to be set to `murmur2_random`.)
"""

from __future__ import annotations

_MASK = 0xFFFFFFFF
_M = 0x5BD1E995


def murmur2(data: bytes) -> int:
    """32-bit MurmurHash2 with Kafka's seed, unsigned."""
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k ^= k >> 24
        h = (h * _M & _MASK) ^ (k * _M & _MASK)
    if whole < length:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h ^= h >> 13
    h = h * _M & _MASK
    return h ^ (h >> 15)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a non-null key. Raises `ValueError` when there is none to choose from."""
    if partitions < 1:
        raise ValueError(f"{partitions} partitions: a topic has at least one")
    if partitions == 1:
        return 0
    return (murmur2(key) & 0x7FFFFFFF) % partitions
