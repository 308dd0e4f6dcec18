"""The tuned linear blend of the simple signals: what a fusion ranker has to beat."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from models.baselines.cooccurrence import DECAYS, Cooccurrence
from models.baselines.own import Own
from models.baselines.popularity import HALF_LIVES, DecayedPopularity
from models.baselines.recommender import Basket, Setting


class Blend:
    """``Σ weight · score / max(score)`` over co-occurrence, decayed popularity and the user's own decayed counts.

    ``decay`` and ``window`` are those of :class:`Cooccurrence`. Weights must not be negative. With ``mask_seen`` the
    largest scores are taken among items that are not the user's own: where those are no candidates anyway, their high
    scores would only press the others together.
    """

    name = "blend"
    space: ClassVar[dict[str, tuple[Setting, ...]]] = {
        "decayed": (0.0, 0.1, 0.3, 1.0, 3.0),
        "own": (0.0, 0.3, 1.0, 3.0, 10.0),
        "decay": DECAYS,
        "half_life_days": HALF_LIVES,
        "own_half_life_days": (7.0, 30.0, 90.0, 365.0),
    }

    def __init__(
        self,
        cooccurrence: float = 1.0,
        decayed: float = 1.0,
        own: float = 0.0,
        decay: float = 0.7,
        window: int = 10,
        half_life_days: float = 7.0,
        own_half_life_days: float = 90.0,
        mask_seen: bool = False,
    ) -> None:
        for weight, name in ((cooccurrence, "cooccurrence"), (decayed, "decayed"), (own, "own")):
            if not weight >= 0:
                raise ValueError(f"{name} = {weight}: use a weight of 0 or more")
        self._weights = (cooccurrence, decayed, own)
        self._mask_seen = mask_seen
        self._cooccurrence = Cooccurrence(decay, window)
        self._decayed = DecayedPopularity(half_life_days)
        self._own = Own(own_half_life_days)
        self.settings: dict[str, Setting] = {
            "cooccurrence": cooccurrence,
            "decayed": decayed,
            "own": own,
            "decay": decay,
            "window": window,
            "half_life_days": half_life_days,
            "own_half_life_days": own_half_life_days,
            "mask_seen": mask_seen,
        }

    def scores(self, user: int, ts: int) -> NDArray[np.float64]:
        """``[1 + items]``; a part that knows nothing of the user adds nothing."""
        together, lately, own = self._weights
        masked = self._own.items(user) if self._mask_seen else np.zeros(0, dtype=np.int32)
        scores = together * _scaled(self._cooccurrence.scores(user, ts), masked)
        scores += lately * _scaled(self._decayed.scores(user, ts), masked)
        if own:
            scores += own * self._own.shares(user, ts)
        return scores

    def learn(self, basket: Basket) -> None:
        """Hand the basket to every part."""
        for part in (self._cooccurrence, self._decayed, self._own):
            part.learn(basket)

    def follow(self, basket: Basket) -> None:
        """Let every part follow."""
        for part in (self._cooccurrence, self._decayed, self._own):
            part.follow(basket)


def _scaled(scores: NDArray[np.float64], masked: NDArray[np.int32]) -> NDArray[np.float64]:
    candidates = scores
    if len(masked):
        candidates = scores.copy()
        candidates[masked] = 0.0
    largest = candidates.max()
    return scores / largest if largest > 0 else scores
