"""The log of side inputs: everything that enters a shard besides the interactions of its own log.

Catalogue entries, text vectors of items, profiles and reasoning graphs of users, and names of latent relations come
from compact topics, at moments that no offset tells. So each is written down before it is applied, and each step's
record says how many the state had seen; recovery and replay apply them at the very same borders. Entries are numbered
from 1 for as long as the shard lives: the state goes over from one log of interactions to the next, and what entered it
goes with it.

The log is kept whole, as the journal is, but for one thing: erasing a user blanks what is about that user in it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from dyngraph.durable import sync
from dyngraph.events import Item
from dyngraph.lines import LineFile, read_lines, segment, segments
from dyngraph.profiles import UserProfile
from dyngraph.reasoning import ReasoningGraph
from dyngraph.relations import RelationNames

SEGMENT_BYTES = 8 << 20
"""A segment this large is synced and closed before the next entry: opening and erasing then read and write little."""


class TextVector(msgspec.Struct, frozen=True):
    """The text of one item as a vector."""

    item_id: str
    vector: bytes
    """Float16, little endian, ``[w]``."""


class SideInput(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry: one of five kinds, or nothing, where an erasure blanked one about a user."""

    item: Item | None = None
    text: TextVector | None = None
    profile: UserProfile | None = None
    reasoning: ReasoningGraph | None = None
    relation_names: RelationNames | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """What it tells of; of two that wait with equal keys the later counts."""
        if self.item is not None:
            return "item", self.item.item_id
        if self.text is not None:
            return "text", self.text.item_id
        if self.relation_names is not None:
            return ("relation_names",)
        # Each version of what is made of a user is something of its own.
        if self.profile is not None:
            return "profile", self.profile.user_id, str(self.profile.ts)
        return () if self.reasoning is None else ("reasoning", self.reasoning.user_id, str(self.reasoning.ts))

    def of(self, user_id: str) -> bool:
        """Whether it is about this user."""
        made = self.profile or self.reasoning
        return made is not None and made.user_id == user_id


BLANK = SideInput()
"""What stands in the place of what was erased, so that numbers stay."""

_encoder, _decoder = msgspec.json.Encoder(), msgspec.json.Decoder(SideInput)


class SideInputLog:
    """Segments of checksummed lines in ``folder``, one line an entry; a segment's name is the number before its first.

    Entries reach the operating system before they are applied (safe against a killed process), and the disk with
    :meth:`sync`, which comes with each snapshot.
    """

    def __init__(self, folder: Path, seen: int = 0) -> None:
        """For a state that has seen ``seen`` entries. Raises JournalError for a broken line."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        for leftover in folder.glob("*.new"):
            leftover.unlink()
        paths = segments(folder)
        self.count = 0
        """Number of the newest entry."""
        self.unseen: deque[tuple[int, SideInput]] = deque()
        """Entries after ``seen`` that were there when the log was opened, with their numbers; whoever applies one takes
        it out."""
        whole = 0
        for place, path in enumerate(paths):
            last = place == len(paths) - 1
            if last or int(paths[place + 1].name) > seen:
                bodies, whole = read_lines(path, last=last)
                before = int(path.name)
                self.count = before + len(bodies)
                new = enumerate(bodies[max(seen - before, 0) :], start=max(seen, before) + 1)
                self.unseen += [(number, _decoder.decode(body)) for number, body in new]
        if self.count >= seen and paths:
            self._path = paths[-1]
        else:
            # Nothing is there yet, or the folder was removed under a snapshot that covers what was in it.
            self.count, whole = seen, 0
            self._path = segment(folder, seen)
        self._file = LineFile(self._path, whole)

    def append(self, entries: Sequence[SideInput]) -> None:
        """Write entries down, all of them or none. Raises OSError."""
        if self._file.size >= SEGMENT_BYTES:
            self._file.sync()
            self._file.close()
            self._path = segment(self.folder, self.count)
            self._file = LineFile(self._path, 0)
        self._file.append(map(_encoder.encode, entries))
        self.count += len(entries)

    def blank(self, user_id: str) -> None:
        """Blank what is about the user, also among :attr:`unseen`, for good once this returns. Raises OSError."""
        touched = [path for path in segments(self.folder) if self._blank(path, user_id)]
        if touched:
            sync(self.folder)
        if self._path in touched:
            self._file.close()
            self._file = LineFile(self._path, self._path.stat().st_size)
        self.unseen = deque((number, BLANK if one.of(user_id) else one) for number, one in self.unseen)

    def _blank(self, path: Path, user_id: str) -> bool:
        """Write a segment anew without what is about the user; false, and untouched, if it has nothing."""
        # Decoding all there ever was takes seconds, looking for the bytes of the id does not.
        quoted = _encoder.encode(user_id)
        if quoted not in path.read_bytes():
            return False
        bodies, _ = read_lines(path, last=path == self._path)
        mine = {place for place, body in enumerate(bodies) if quoted in body and _decoder.decode(body).of(user_id)}
        if not mine:
            return False
        new = path.with_suffix(".new")
        file = LineFile(new, 0)
        file.append(_encoder.encode(BLANK) if place in mine else body for place, body in enumerate(bodies))
        file.sync()
        file.close()
        new.replace(path)
        return True

    def sync(self) -> None:
        """Make all entries reach the disk."""
        self._file.sync()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_side_inputs(folder: Path) -> Iterator[SideInput]:
    """All entries of a log, oldest first; a folder without one has none.

    Raises JournalError for a broken line before the last.
    """
    paths = segments(folder)
    for path in paths:
        for body in read_lines(path, last=path is paths[-1])[0]:
            yield _decoder.decode(body)
