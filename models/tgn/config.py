"""What may differ between two encoders, and the members of the family as presets."""

from __future__ import annotations

from typing import Any

import msgspec

TYPE_PLACES = 10
"""Places of the one-hot event type: the padding type and the nine of :class:`dyngraph.events.EventType`."""


class TGNConfig(msgspec.Struct, frozen=True):
    """Parts, sizes and learning rates of the encoder. The defaults are the ``tgn`` preset.

    Raises ValueError for settings that do not go together.
    """

    dim: int = 64
    """Width d of memory and of embeddings."""
    time_dim: int = 32
    """Width T of the time encoding."""
    heads: int = 2
    neighbours: int = 10
    """K, the edges that a node remembers."""
    memory: str = "gru"
    """How a message changes memory: ``gru``, ``rnn``, or ``none``."""
    aggregator: str = "last"
    """Which of a node's messages in one batch counts: the ``last``, or their ``mean``."""
    message_other: str = "memory"
    """What of the other end goes into a message: its ``memory``, or its ``embedding`` at the event's time (DyRep)."""
    embedding: str = "attention"
    """``attention``, ``identity``, or ``time`` (JODIE's projection)."""
    layers: int = 1
    """Attention layers, 1 or 2."""
    edge_dim: int = 0
    """Width E of the features that events bring along."""
    user_dim: int = 0
    """Width of users' static vectors given from outside."""
    item_dim: int = 0
    """Width of items' static vectors given from outside (text)."""
    cache: bool = True
    """Whether reads use memory as it was applied at the node's last event; else waiting messages are applied at each
    read under the weights of that moment."""
    loss: str = "softmax"
    """``softmax`` over the events' own items and drawn ones, or ``bpr`` against one drawn item per event."""
    learn_events: int = 32
    """Fewest events that an update learns from; smaller steps let their examples wait for company."""
    draws: int = 256
    """Most items drawn per update that share the softmax with the events' own items, 8 per event if fewer; 0: all."""
    replay: int = 0
    """Past examples kept, a uniform sample of all so far, to be learned from again; 0: none."""
    replay_share: float = 0.5
    """Past examples that join an update, per new one."""
    lr: float = 2e-3
    embedding_lr: float = 0.05
    refusal_weight: float = 0.5
    """Weight of the loss that pushes refused items away, relative to the softmax."""
    clip: float = 1.0
    """Largest global norm of the dense gradient."""
    seed: int = 0

    def __post_init__(self) -> None:
        choices = {
            "memory": ("gru", "rnn", "none"),
            "aggregator": ("last", "mean"),
            "message_other": ("memory", "embedding"),
            "embedding": ("attention", "identity", "time"),
            "loss": ("softmax", "bpr"),
            "layers": (1, 2),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is unknown; use one of: {', '.join(map(str, allowed))}"
                )
        if self.dim % self.heads:
            raise ValueError(f"dim={self.dim} cannot be split into heads={self.heads}; use a multiple")
        if self.memory == "none" and self.message_other == "embedding":
            raise ValueError("message_other='embedding' needs a memory that messages can change; set memory='rnn'")

    @property
    def edge_width(self) -> int:
        """Width of an edge as the formulas see it: one-hot type, value, features."""
        return TYPE_PLACES + 1 + self.edge_dim

    @property
    def message_width(self) -> int:
        """Width of a raw message: the other end, the edge, the encoded time since the node's last event."""
        return 0 if self.memory == "none" else self.dim + self.edge_width + self.time_dim

    @property
    def slot_width(self) -> int:
        """Width of what attention sees of one neighbour."""
        return self.dim + self.edge_width + self.time_dim

    @property
    def attends(self) -> bool:
        """Whether anything in this encoder attends to neighbours."""
        return self.embedding == "attention" or self.message_other == "embedding"


_PRESETS: dict[str, dict[str, Any]] = {
    "tgn": {},
    "jodie": {"memory": "rnn", "embedding": "time"},
    "dyrep": {"memory": "rnn", "embedding": "identity", "message_other": "embedding"},
    "tgat": {"memory": "none", "layers": 2},
}


def preset(name: str, **overrides: Any) -> TGNConfig:
    """The settings of one member of the family, with ``overrides``.

    - ``tgn``: GRU memory, one attention layer (Rossi et al. 2020). The one that is optimised.
    - ``jodie``: RNN memory, embedding ``(1 + w · Δt) ⊙ memory`` (Kumar et al. 2019 as TGN's authors put it in their
      frame).
    - ``dyrep``: RNN memory, messages carry the other end's attention embedding, memory itself is the embedding (Trivedi
      et al. 2019, in the same frame). As there, messages are stored without gradient, so that attention keeps its
      start: it is no trainable part.
    - ``tgat``: no memory, two attention layers (Xu et al. 2020) over the K kept, most recent neighbours; the original
      samples uniformly from the whole past, which a stream cannot keep.

    Raises ValueError for an unknown name.
    """
    if name not in _PRESETS:
        raise ValueError(f"preset {name!r} is unknown; use one of: {', '.join(_PRESETS)}")
    return TGNConfig(**{**_PRESETS[name], **overrides})
