"""Weights that are learned beside serving: handed over by one shard, switched in by another at a step's border.

The rule that keeps scores honest is that of every artefact: weights count only for events after everything they were
learned from. The rule that keeps state a function of log and journal: a switch is named in the step's record, and a
recorded step takes exactly the weights named there, or stops.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from dyngraph.engine import Engine
from dyngraph.order import Moment
from dyngraph.row_digests import RowDigests, places
from dyngraph.state import State
from dyngraph.weights import ITEMS, USERS, LearnedWeights, WeightsError, WeightsManifest, WeightsStore

log = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where the step that is about to be taken begins."""

    log_id: str
    first: int
    horizon: Moment
    """Of the state before it."""


class WeightSwitch:
    """The versions of one shard: which it serves with, which waits for the next border, and handing over its own."""

    def __init__(self, folder: Path | None, engine: Engine, config: str) -> None:
        self.current: WeightsManifest | None = None
        """The version served with; None while the encoder's weights are its own."""
        self.refused = ""
        """Why the last version that was offered in vain did not fit."""
        self.switches = 0
        self.store = WeightsStore(folder) if folder is not None else None
        self._engine, self._config = engine, config
        self._offered: list[LearnedWeights] = []
        self._users, self._items = RowDigests(), RowDigests()

    # -- the rows' identities ---------------------------------------------------------------------------------

    def follow(self) -> None:
        """Take in the nodes that came since; called after each step, so that no border has many to take in."""
        self._users.follow(self._engine.graph.user_ids)
        self._items.follow(self._engine.graph.item_ids)

    def block(self, user_id: str) -> None:
        """An erased user's rows neither leave in a version nor come back with one, for good."""
        self._users.block(user_id)

    # -- switching in -----------------------------------------------------------------------------------------

    def offer(self, weights: LearnedWeights) -> None:
        """Let ``weights`` wait for the first border after everything they were learned from.

        Raises :class:`WeightsError` for weights of other settings, or with other tensors than the encoder's.
        """
        self._check(weights)
        if weights.manifest.newer_than(self.current):
            self._offered.append(weights)

    def waiting(self, place: Place) -> LearnedWeights | None:
        """The newest that a new step at ``place`` may switch in, if any waits that fits this shard's rows.

        Weights that do not fit are dropped and told, and :attr:`refused` says why.
        """
        usable = [one for one in self._offered if one.manifest.before(*place)]
        if not usable:
            return None
        self._offered = [one for one in self._offered if not one.manifest.before(*place)]
        newest = max(usable, key=lambda one: (one.manifest.horizon, one.manifest.version))
        try:
            self._fitted(newest)
        except WeightsError as error:
            self.refused = str(error)
            log.error("%s", error)
            return None
        return newest if newest.manifest.newer_than(self.current) else None

    def recorded(self, name: str) -> LearnedWeights | None:
        """What a step that the journal has already shall switch in, as it says. Raises :class:`WeightsError`."""
        if not name:
            return None
        if self.store is None:
            raise WeightsError(
                f"the step journal names the weights {name}, and no folder of weights is configured: set weights_dir "
                "to where the trainer hands them over"
            )
        weights = self.store.load(name)
        self._check(weights)
        return weights

    def take(self, weights: LearnedWeights) -> Callable[[], None]:
        """Switch in; the answer undoes it, for a step that fails after it. Raises :class:`WeightsError`."""
        encoder, before = self._engine.encoder, self.current
        state = self._fitted(weights)
        kept = {name: value.clone() for name, value in encoder.state().items()}
        encoder.use_weights(self._engine.graph, state, weights.manifest.version)
        self.current = weights.manifest
        self.switches += 1

        def undo() -> None:
            encoder.load_state(kept)
            self.current = before
            self.switches -= 1

        return undo

    def _check(self, weights: LearnedWeights) -> None:
        name = weights.manifest.name
        if weights.manifest.config != self._config:
            raise WeightsError(
                f"the weights {name} were learned under other settings (models, sizes, seed) than this shard's: give "
                "the trainer and this worker the same ones"
            )
        own = self._engine.encoder.weights()
        differing = sorted(set(own) ^ set(weights.state)) or [
            key for key, value in weights.state.items() if value.shape[1:] != own[key].shape[1:]
        ]
        if differing:
            raise WeightsError(f"the weights {name} do not have this encoder's tensors: {differing[0]} differs")

    def _fitted(self, weights: LearnedWeights) -> State:
        """The version's rows under this shard's numbers."""
        self.follow()
        state = dict(weights.state)
        for side, theirs, digests in ((USERS, weights.user_ids, self._users), (ITEMS, weights.item_ids, self._items)):
            try:
                found = places(theirs, digests.view, digests.blocked)
            except LookupError as strangers:
                raise WeightsError(
                    f"the weights {weights.manifest.name} are refused: {strangers} of their {len(theirs) - 1} "
                    f"{side.removeprefix('static.')}s are unknown to this shard, so they were learned from another "
                    "log; give the trainer the same topic and prefix, or remove the weights' folder"
                ) from None
            if found is None:
                continue
            came, own = (torch.from_numpy(some) for some in found)
            for key in [key for key in state if key.startswith(side)]:
                # Rows that came after the version, or that it has nothing to say of, stay as they are.
                rows = self._engine.encoder.weights()[key].clone()
                rows[own] = state[key][came].to(rows)
                state[key] = rows
        return state

    # -- keeping and telling ----------------------------------------------------------------------------------

    def keep(self, count: int, served: Sequence[WeightsManifest | None]) -> None:
        """Keep at most ``count`` versions (0: all) besides those of the kept snapshots, ``served`` (oldest first).

        What the oldest kept snapshot serves with it holds itself, so no recovery reads that or anything older again.
        """
        if self.store is not None and count and served:
            self.store.keep_newest(count, {one.name for one in served if one}, served[0])

    def describe(self, log_id: str, applied: int) -> dict[str, object]:
        """Which version is served with, and how many offsets it is behind the state, as JSON-able values."""
        current = self.current
        if current is None:
            return {"switched": None, "refused": self.refused}
        return {
            "switched": current.name,
            "version": current.version,
            "offset": current.offset,
            "behind": applied - current.offset if current.log_id == log_id else None,
            "switches": self.switches,
            "refused": self.refused,
        }

    # -- handing over -----------------------------------------------------------------------------------------

    def hand_over(self, log_id: str, offset: int) -> WeightsManifest:
        """Write the encoder's present weights as a version learned up to ``offset``; blocking. Raises OSError."""
        if self.store is None:
            raise WeightsError("no folder to hand weights over in is configured: set weights_dir")
        self.follow()
        encoder = self._engine.encoder
        horizon = self._engine.graph.horizon
        manifest = WeightsManifest(encoder.version, self._config, log_id, offset, horizon)
        return self.store.write(manifest, encoder.weights(), self._users.view, self._items.view)
