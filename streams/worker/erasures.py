"""Which tombstones of `users` a shard has honoured.

The topic is compact and read whole at each start, so an old tombstone comes again and again; honouring it
twice would also erase what the user did since. The place is kept beside the shard's snapshots, because it
moves with them.
"""

from __future__ import annotations

from pathlib import Path

import msgspec


class _Place(msgspec.Struct):
    log_id: str
    offset: int


class Erasures:
    """The newest honoured offset of the `users` topic for one shard; another `log_id` starts over."""

    def __init__(self, folder: Path, log_id: str) -> None:
        self.begun = False
        """Whether nothing was noted here before, so that nothing may have been missed either."""
        self._path = folder / "erasures.json"
        self._place = _Place(log_id, -1)
        try:
            place = msgspec.json.decode(self._path.read_bytes(), type=_Place)
        except FileNotFoundError:
            self.begun = True
            return
        if place.log_id == log_id:
            self._place = place

    @property
    def newest(self) -> int:
        """The newest honoured offset, -1 before the first."""
        return self._place.offset

    def honoured(self, offset: int) -> bool:
        """Whether the tombstone at `offset` has been honoured."""
        return offset <= self._place.offset

    def mark(self, offset: int) -> None:
        """Note that it has, once the erasure itself is durable."""
        self._place.offset = max(self._place.offset, offset)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_bytes(msgspec.json.encode(self._place))
        temporary.replace(self._path)
