"""DynLLM as it lives beside the stream: vectors for queries, items' static halves, and learning on line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from dyngraph.batch import EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.growable import Growable
from dyngraph.profiles import FACETS, ProfileStore
from dyngraph.protocols import Queries
from dyngraph.state import State, below
from dyngraph.texts import TextVectors
from models.dynllm.capture import Asked, Examples, ask, flat, restored
from models.dynllm.config import DynLLMConfig
from models.dynllm.network import DynLLMNetwork
from models.learned import Learned, Turn
from models.new_texts import NewTexts
from models.waiting import pick, together, without_user

ROTATION = 256
"""Items whose static halves are renewed after an update, in turn."""

Temporal = Callable[[], Tensor]
"""Gives the temporal vectors ``[items, D]`` of all items, each as of its last refresh."""


class DynLLM:
    """One DynLLM over an encoder's temporal vectors, ``profiles`` of users and ``texts`` of items.

    These are the graph's own, or others where several are compared on one walk.
    """

    def __init__(self, config: DynLLMConfig, temporal: Temporal, profiles: ProfileStore, texts: TextVectors) -> None:
        self.config, self.profiles, self.texts = config, profiles, texts
        self._temporal = temporal
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = DynLLMNetwork(config)
        self.learned = Learned(self.network, config.lr, config.clip)
        self._statics = Growable((config.dim,), torch.float32)
        self._waiting: Examples | None = None
        self._turn = Turn(ROTATION)
        self._new_texts = NewTexts(texts)
        self.grow(1)

    # -- size -------------------------------------------------------------------------------------------------

    def grow(self, items: int) -> None:
        """Make room for this many item rows."""
        self._statics.grow(items)

    def truncate(self, items: int) -> None:
        """Undo growth."""
        self._statics.truncate(items)

    # -- reading ----------------------------------------------------------------------------------------------

    def asked(self, graph: DynamicGraph, queries: Queries) -> Asked:
        """The raw inputs of the queries' users."""
        return ask(graph, self.profiles, queries)

    @torch.no_grad()
    def logits(self, graph: DynamicGraph, asked: Asked, *, dropped: int | None = None) -> Tensor:
        """``[U, items]``, the null row's too; with ``dropped`` as if that facet said nothing."""
        users = self.network.users(asked, dropped=dropped)
        return self.network.scores(users, self._temporal(), self._statics.view, graph.items.events)

    @torch.no_grad()
    def drops(self, graph: DynamicGraph, asked: Asked, items: Tensor) -> Tensor:
        """``[U, 4]`` by how much the logit of item row ``items [U]`` falls if each facet in turn said nothing."""
        whole = self._at(graph, asked, items, None)
        return torch.stack([whole - self._at(graph, asked, items, facet) for facet in range(len(FACETS))], dim=1)

    def _at(self, graph: DynamicGraph, asked: Asked, items: Tensor, dropped: int | None) -> Tensor:
        users = self.network.users(asked, dropped=dropped)
        met = graph.items.events[items]
        return self.network.scores(users, self._temporal()[items], self._statics.view[items], met).diagonal()

    def texts_of(self, items: Tensor) -> Tensor:
        """Text vectors ``[m, w]`` of item rows."""
        return torch.from_numpy(self.texts.rows[items.numpy()])

    # -- learning ---------------------------------------------------------------------------------------------

    def plan(
        self, graph: DynamicGraph, batch: EventBatch, asked: Asked, query: Tensor, *, learn: bool, seed: int
    ) -> DynLLMUpdate:
        """What ``batch``, event e of which was asked as ``asked[query[e]]``, will change; nothing is written."""
        if not learn:
            return DynLLMUpdate(self, graph, self._waiting)
        events = batch.positive.nonzero().squeeze(1)
        examples = self._waiting
        if len(events):
            items = batch.items[events]
            own = Examples(
                pick(asked, query[events]),
                items,
                self._temporal()[items],
                graph.items.events[items],
                batch.users[events],
            )
            examples = together(examples, own)
        if examples is None or examples.events < self.config.learn_events:
            return DynLLMUpdate(self, graph, examples)
        gradients, loss = self._gradients(graph, examples, seed)
        return DynLLMUpdate(self, graph, None, gradients, loss)

    @torch.enable_grad()
    def _gradients(self, graph: DynamicGraph, examples: Examples, seed: int) -> tuple[dict[str, Tensor], float]:
        """Of the sampled softmax over the examples' items and drawn ones, corrected for how often each is in the pool
        (log-Q, Yi et al. 2019).
        """
        network, count = self.network, graph.sizes()[1]
        generator = torch.Generator().manual_seed(seed % 2**63)
        drawn = torch.randint(1, count, (min(self.config.draws, 8 * examples.events),), generator=generator)
        # An item that this batch brings cannot be drawn for it: nobody could have been shown it.
        drawn = torch.unique(drawn[graph.items.events[drawn] > 0])
        pool = torch.cat((examples.items, drawn))
        vectors = torch.cat((examples.vectors, self._temporal()[drawn]))
        users = network.users(examples.asked)
        met = torch.cat((examples.met, graph.items.events[drawn]))
        logits = network.scores(users, vectors, network.statics(self.texts_of(pool)), met)
        seen = graph.items.events[pool].float()
        expected = examples.events * seen / max(graph.events, 1) + max(len(drawn), 1) / count
        own = torch.arange(examples.events)
        # An item may stand in the pool several times; only the event's own place competes for the event.
        twice = (pool == examples.items.unsqueeze(1)).scatter(1, own.unsqueeze(1), False)
        choices = (logits - torch.log(expected)).masked_fill(twice, -torch.inf)
        loss = functional.cross_entropy(choices, own)
        gradients, _ = self.learned.gradients(loss)
        return gradients, float(loss.detach())

    def learn(self, graph: DynamicGraph, gradients: dict[str, Tensor]) -> None:
        """Write an update, unless it is not finite: then it is counted and the last good weights stay."""
        if self.learned.step(gradients):
            self._renew(self._turn.next(graph.sizes()[1]))

    def follow(self, items: Tensor) -> None:
        """Renew the static halves of touched ``items [m]``, and of those that have a new text since the last call."""
        self._renew(torch.unique(torch.cat((items, self._new_texts.rows()))))
        self._new_texts.taken()

    @torch.no_grad()
    def _renew(self, items: Tensor) -> None:
        self._statics.view[items] = self.network.statics(self.texts_of(items))

    def keep(self, waiting: Examples | None) -> None:
        """Let ``waiting`` be what waits for the next update."""
        self._waiting = waiting

    def forget_user(self, user: int) -> None:
        """Drop a user's examples."""
        if self._waiting is not None:
            self._waiting = without_user(self._waiting, user)

    # -- state ------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Weights, optimiser, static halves and which of them are outdated, waiting examples."""
        state = self.learned.state() | self._new_texts.state()
        state |= {"statics": self._statics.view, "turn": torch.tensor(self._turn.begin)}
        if self._waiting is not None:
            state |= {f"waiting.{name}": value for name, value in flat(self._waiting).items()}
        return state

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`; the item texts must have been loaded before."""
        self.learned.load_state(state)
        self._statics.replace(state["statics"])
        self._new_texts.load_state(state)
        self._turn.begin = int(state["turn"])
        waiting = below("waiting.", state)
        self._waiting = restored(waiting) if waiting else None


@dataclass(frozen=True)
class DynLLMUpdate:
    """What a step will write."""

    model: DynLLM
    graph: DynamicGraph
    waiting: Examples | None
    """Examples that wait for a later update."""
    gradients: dict[str, Tensor] = field(default_factory=dict)
    """Empty where nothing is learned now."""
    loss: float = float("nan")

    def apply(self) -> None:
        """Write it."""
        self.model.keep(self.waiting)
        if self.gradients:
            self.model.learn(self.graph, self.gradients)
