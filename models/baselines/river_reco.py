"""river's own recommender, a biased matrix factorisation, used as its documentation shows.

Equation (Paterek 2007; Koren, Bell & Volinsky 2009): ``y(u, i) = mean + b_u + b_i + <v_u, v_i>``, learned one example
at a time by stochastic gradient descent on the squared error. The log holds what people took and nothing about what
they left, so that every interaction is an example with target 1 (0 for a dislike or a removal), followed by
``negatives`` items drawn evenly from those seen so far with target 0.

``river.reco`` answers for one pair at a time (some 2 µs each). A copy of its item side, renewed row by row as it
learns, gives the same numbers for all items by one product; a test holds the two equal. Learning takes some 20 µs an
example, whatever the number of items.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from river import optim, reco

from models.baselines.factors import Factors
from models.baselines.recommender import Basket, Setting


class RiverMF:
    """``river.reco.BiasedMF`` on implicit feedback.

    ``width`` factors, learning rates ``lr`` of factors and ``bias_lr`` of biases, L2 penalty ``reg`` on both,
    ``passes`` over each basket. The defaults are the best of 5 trials on events 40 to 50 % of ml-100k. Raises
    ValueError for a width, ``negatives`` or ``passes`` below 1.
    """

    name = "river-reco"
    space: ClassVar[dict[str, tuple[Setting, ...]]] = {
        "lr": (0.02, 0.05, 0.1),
        "bias_lr": (0.002, 0.005, 0.02),
        "reg": (0.0, 0.01, 0.05),
        "passes": (1, 2, 3),
    }

    def __init__(
        self,
        *,
        width: int = 32,
        lr: float = 0.05,
        bias_lr: float = 0.005,
        reg: float = 0.01,
        negatives: int = 4,
        passes: int = 3,
        seed: int = 0,
    ) -> None:
        for setting, value in {"width": width, "negatives": negatives, "passes": passes}.items():
            if value < 1:
                raise ValueError(f"{setting} = {value} learns nothing; use 1 or more")
        self.settings: dict[str, Setting] = {
            "width": width,
            "lr": lr,
            "bias_lr": bias_lr,
            "reg": reg,
            "negatives": negatives,
            "passes": passes,
            "seed": seed,
        }
        self.model = reco.BiasedMF(
            n_factors=width,
            bias_optimizer=optim.SGD(bias_lr),
            latent_optimizer=optim.SGD(lr),
            l2_bias=reg,
            l2_latent=reg,
            latent_initializer=optim.initializers.Normal(sigma=0.1, seed=seed),
            seed=seed,
        )
        """The library's model, with item and user rows as its keys."""
        self._negatives = negatives
        self._passes = passes
        self._rng = np.random.default_rng(seed)
        self._factors = Factors((width,), dtype=np.float64)
        self._biases = Factors(dtype=np.float64)

    def scores(self, user: int, ts: int) -> NDArray[np.float64]:
        """What ``predict_one`` says of every item; where it would draw first values, for a user or an item it never
        learned, their mean, zero, is taken."""
        scores: NDArray[np.float64] = self.model.global_mean.get() + self._biases.rows
        if user in self.model.u_latents:
            scores += self.model.u_biases[user] + self._factors.rows @ self.model.u_latents[user]
        return scores

    def learn(self, basket: Basket) -> None:
        """Learn each interaction and its negatives, in the basket's order."""
        self.follow(basket)
        told = basket.sign != 0
        taken = list(zip(basket.items[told].tolist(), (basket.sign[told] > 0).tolist(), strict=True))
        for _ in range(self._passes):
            drawn = self._rng.integers(1, len(self._biases.rows), (len(taken), self._negatives)).tolist()
            for (item, target), others in zip(taken, drawn, strict=True):
                self._learn_one(basket.user, item, float(target))
                for other in others:
                    self._learn_one(basket.user, other, 0.0)

    def follow(self, basket: Basket) -> None:
        """Grow; a user's factors move only by learning."""
        for rows in (self._factors, self._biases):
            rows.grow(int(basket.items.max()) + 1)

    def _learn_one(self, user: int, item: int, target: float) -> None:
        self.model.learn_one(user, item, target)
        self._factors.rows[item] = self.model.i_latents[item]
        self._biases.rows[item] = self.model.i_biases[item]
