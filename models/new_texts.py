"""Which items have a new text since a model last looked; what a model derives from texts is renewed by it."""

from __future__ import annotations

import torch
from torch import Tensor

from dyngraph.state import State
from dyngraph.texts import TextVectors

_NOTHING = torch.zeros(0, dtype=torch.int64)


class NewTexts:
    """News of ``texts``, kept across a snapshot: a restored model renews what the saved one would have renewed."""

    def __init__(self, texts: TextVectors) -> None:
        self._texts = texts
        self._seen, self._before = 0, _NOTHING

    def rows(self) -> Tensor:
        """``[m]`` distinct item rows whose text has come, changed or gone since :meth:`taken`."""
        if self._texts.version == self._seen:
            return self._before
        changed = torch.from_numpy(self._texts.changed_since(self._seen))
        rows: Tensor = torch.unique(torch.cat((self._before, changed)))
        return rows

    def taken(self) -> None:
        """All of :meth:`rows` have been looked at."""
        self._seen, self._before = self._texts.version, _NOTHING

    def state(self) -> State:
        """The rows that are still to be looked at."""
        return {"outdated": self.rows()}

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`; the texts must have been loaded before."""
        self._before, self._seen = state["outdated"].clone(), self._texts.version
