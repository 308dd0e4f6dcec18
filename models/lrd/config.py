"""What may differ between two LRD models; every part of the method can be switched off to see what it adds."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

Recommender = Literal["rcf", "kda"]
Entropy = Literal["added", "subtracted", "off"]
DecayStart = Literal["random", "gaps"]


class LrdConfig(msgspec.Struct, frozen=True):
    """Parts, sizes and weights of the losses. Raises ValueError for settings that do not go together.

    Defaults are those of the authors' release, but for ``layers`` (5 there) and ``decay_start``.
    """

    recommender: Recommender = "kda"
    """``kda`` lets what a past event weighs decay with its age, for each relation in its own way; ``rcf`` does not."""
    latent: int = 8
    """K, relations found in text; 0 leaves the predefined ones."""
    dim: int = 64
    """Width d of users, items, attribute values and relations."""
    text_dim: int = 384
    """Width w of text vectors."""
    heads: int = 4
    layers: int = 1
    """L, passes of the same self-attention over the relations' contexts."""
    history: int = 20
    """H, the latest events that are read."""
    lr: float = 1e-3
    l2: float = 1e-6
    """Weight decay of Adam, as a part of the gradient."""
    lambda_: float = 10.0
    """Weight of the reconstruction loss; 0 leaves it out."""
    gamma: float | None = None
    """Weight of the knowledge-graph task; None: triplets per learned interaction."""
    alpha: float = 0.1
    """Weight of the posterior's entropy within the reconstruction loss."""
    entropy: Entropy = "added"
    """``added`` to the loss it sharpens the posterior, as in the release; ``subtracted`` is the evidence lower bound
    with a uniform prior; ``off`` leaves it out."""
    balance: float = 0.0
    """Weight of the entropy of the average posterior over the latent relations, which is maximised: each pair should be
    of one relation, and the pairs of a batch of all. The release has nothing like it; without it they collapse."""
    normalised: bool = False
    """Whether projected texts are brought to unit variance before the posterior reads them. Text vectors of length 1
    leave it all but uniform otherwise; the release reads vectors of another scale."""
    leave_one_latent: bool = True
    """Whether relation 0 takes no part in the reconstruction, so that a pair may have no relation."""
    n_dft: int = 64
    """Points of the Fourier transform that a decay's 1 + n/2 frequencies belong to."""
    decay_start: DecayStart = "random"
    """Whether decays begin as a half for every gap and noise, or as each relation's histogram of gaps."""
    posterior_at_inference: bool = False
    """Whether q(r | h, i) weighs the attention. The release reads text in training only; with this, what language
    knows reaches the score itself, and so items that nobody has touched."""
    amortised: bool = False
    """Whether an item's vector is a map of its text plus its own, instead of its own alone. Always so on line. The
    release has nothing like it; off line this says what text adds by another way than the reconstruction."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind in (("recommender", Recommender), ("entropy", Entropy), ("decay_start", DecayStart)):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name}={getattr(self, name)!r} is unknown; use one of: {', '.join(get_args(kind))}")
        if self.dim % self.heads:
            raise ValueError(f"dim={self.dim} cannot be split into heads={self.heads}; use a multiple")
        for name, least in (("latent", 0), ("layers", 1), ("history", 1), ("text_dim", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)}: use {least} or more")
        if self.n_dft < 2 or self.n_dft % 2:
            raise ValueError(f"n_dft={self.n_dft}: use an even number from 2")
        if min(self.lambda_, self.alpha, self.balance) < 0 or (self.gamma is not None and self.gamma < 0):
            raise ValueError(
                f"lambda_={self.lambda_}, gamma={self.gamma}, alpha={self.alpha}, balance={self.balance}: "
                "weights are 0 or more"
            )

    @property
    def reads_text(self) -> bool:
        """Whether there is a posterior at all."""
        return self.lambda_ > 0 or self.posterior_at_inference
