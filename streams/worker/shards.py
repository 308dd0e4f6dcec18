"""Shards by partition, opened and closed as Kafka assigns and revokes, and worked on by turns.

A shard is no thread-safe thing, so everything that touches one takes a turn, in the order asked. Large work runs
in the shard's own thread, off the event loop; small work on the spot (see `AT_ONCE`). The turns are what keeps
list making from starving steps and steps from starving lists: both ask again after each turn, so under load they
alternate.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from dyngraph.events import Item
from dyngraph.shard import Shard
from streams.partitioning import partition_of
from streams.worker.erasures import Erasures
from streams.worker.shard_lock import ShardLock

log = logging.getLogger(__name__)

T = TypeVar("T")

Erased = Callable[[str], Awaitable[None]]
"""Told that a shard has erased a user, so that what others keep of the user goes too."""


AT_ONCE = 64
"""Up to this many events or users the event loop is held up for some 40 ms at most, and that is the better bargain: a
step is hundreds of short tensor calls, each of which gives up the interpreter lock, and in a thread of its own it waits
after most of them until the event loop lets go again. Measured at 200 events/s, publish to list: median 173 ms and p99
455 ms with every step in the thread, 68 and 126 ms with these on the spot."""


class NotHosted(LookupError):
    """Raised when a partition's shard does not live in this worker."""


class HostedShard:
    """One shard, its thread, and the turns that everybody takes on it.

    `generation` counts assignments: a step begun under an older one still changes the state (it is in the
    journal), but its events are delivered again, so it must not acknowledge them.
    """

    def __init__(self, shard: Shard, thread: ThreadPoolExecutor, erasures: Erasures, lock: ShardLock) -> None:
        self.shard = shard
        self.partition = shard.partition
        self.generation = 0
        self.erasures = erasures
        self._thread = thread
        self._lock = lock
        self._turn = asyncio.Lock()

    async def run(self, work: Callable[[Shard], T], *, size: int | None = None) -> T:
        """Do `work` after everybody who asked earlier, in the shard's thread. Raises what it raises.

        Work on at most `AT_ONCE` events or users (`size`) is done on the spot, on the event loop.
        """
        async with self._turn:
            if size is not None and size <= AT_ONCE:
                return work(self.shard)
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, self.shard)

    async def erase(self, user_id: str, offset: int, erased: Erased) -> None:
        """Honour the tombstone at `offset` of the `users` topic, once; `erased` is called before it counts as done."""
        if self.erasures.honoured(offset):
            return
        log.info("partition %d: erasing the user of users/%d", self.partition, offset)
        await self.run(lambda shard: shard.erase(user_id))
        await erased(user_id)
        self.erasures.mark(offset)

    async def close(self) -> None:
        """Wait for the running work, write a snapshot if anything happened since the last one, and let go."""
        try:
            await self.run(Shard.close)
        finally:
            self._lock.release()
        self._thread.shutdown(wait=False)


class ShardHost:
    """All shards of this worker, and what every shard has to know: the catalogue and the tombstones."""

    def __init__(
        self, open_shard: Callable[[int], Shard], folder: Callable[[int], Path], partitions: int, erased: Erased
    ) -> None:
        self.partitions = partitions
        """How many partitions `interactions` has, over all workers."""
        self.users_log_id = ""
        """Which log the tombstones' offsets belong to."""
        self._erased = erased
        self._open_shard = open_shard
        self._folder = folder
        self._shards: dict[int, HostedShard] = {}
        self._catalogue: dict[str, Item] = {}
        self._tombstones: dict[str, int] = {}

    def __iter__(self) -> Iterator[HostedShard]:
        return iter(list(self._shards.values()))

    def __len__(self) -> int:
        return len(self._shards)

    def get(self, partition: int) -> HostedShard:
        """The shard of a partition. Raises `NotHosted`."""
        try:
            return self._shards[partition]
        except KeyError:
            raise NotHosted(
                f"partition {partition} of {self.partitions} is not hosted by this worker (it has "
                f"{sorted(self._shards) or 'none'}): ask the worker that has it"
            ) from None

    def of_user(self, user_id: str) -> HostedShard:
        """The shard that owns a user. Raises `NotHosted`."""
        return self.get(self._home(user_id))

    async def open(self, partition: int) -> HostedShard:
        """Load a shard from its newest whole snapshot (or empty), with the catalogue and tombstones known so
        far.

        Waits while another process has it. Raises `ShardInUseError`.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix=f"shard-{partition}")
        loop = asyncio.get_running_loop()
        folder = self._folder(partition)
        lock = ShardLock(folder)
        await loop.run_in_executor(thread, lock.acquire)
        try:
            shard = await loop.run_in_executor(thread, self._open_shard, partition)
        except BaseException:
            lock.release()
            raise
        hosted = HostedShard(shard, thread, Erasures(folder, self.users_log_id), lock)
        if self._catalogue:
            items = list(self._catalogue.values())
            await hosted.run(lambda shard: shard.put_items(items))
        for user_id, offset in sorted(self._tombstones.items(), key=lambda pair: pair[1]):
            if self._home(user_id) == partition:
                await hosted.erase(user_id, offset, self._erased)
        self._shards[partition] = hosted
        log.info("shard %d open at offset %d", partition, shard.applied_offset)
        return hosted

    async def close(self, partition: int) -> None:
        """Close a shard if it is open."""
        hosted = self._shards.pop(partition, None)
        if hosted is not None:
            await hosted.close()
            log.info("shard %d closed at offset %d", partition, hosted.shard.applied_offset)

    async def put_items(self, items: Iterable[Item]) -> None:
        """Hand catalogue entries to every shard, and keep them for shards opened later."""
        batch = list(items)
        self._catalogue.update((item.item_id, item) for item in batch)
        for hosted in self:
            await hosted.run(lambda shard: shard.put_items(batch))

    async def erase(self, user_id: str, offset: int) -> None:
        """Take a tombstone (`offset` in `users`) to the user's shard: now, or when that opens here."""
        self._tombstones[user_id] = offset
        hosted = self._shards.get(self._home(user_id))
        if hosted is not None:
            await hosted.erase(user_id, offset, self._erased)

    def erased_since(self, user_id: str, erasures: int) -> bool:
        """Whether the user has been erased since the tombstone at offset `erasures`: what stems from before is void."""
        return self._tombstones.get(user_id, -1) > erasures

    def _home(self, user_id: str) -> int:
        return partition_of(user_id.encode(), self.partitions)
