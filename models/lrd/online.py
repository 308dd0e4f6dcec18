"""LRD as it lives beside the stream: vectors for growing rows, learning on line, and scores for candidates."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding

from dyngraph.batch import EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.growable import Growable
from dyngraph.met import MetItems
from dyngraph.state import State, Stateful, below, gather, scatter
from dyngraph.texts import TextVectors
from models.learned import Learned, Turn
from models.lrd import kernels
from models.lrd.capture import Asked, Examples, flat, restored
from models.lrd.linear import Gathered, LinearRelations
from models.lrd.posterior import spread
from models.lrd.reconstruction import ranking_loss, reconstruction_loss
from models.lrd.relations import Relations
from models.lrd.rows import LearnedRows
from models.lrd.stream_config import StreamLrdConfig
from models.lrd.values import ATTRIBUTES, ItemValues
from models.new_texts import NewTexts
from models.waiting import pick, together, without_user

ROTATION = 256
"""Items whose text parts are renewed after an update, in turn."""

MOST_HALF = 20.0
"""Halves beyond it are cut, so that products of their exponentials stay finite."""

LEAST = float(np.exp(-MOST_HALF))


class OnlineRelations:
    """One LRD over the ``texts`` of items. An item's vector is what its text says plus a residual: one that nobody has
    touched has its text's alone, and what is learned of it is added.
    """

    def __init__(self, config: StreamLrdConfig, texts: TextVectors, met: MetItems) -> None:
        """Learns against items that users have not ``met``."""
        method = config.method
        self.config, self.texts = config, texts
        self._met = met
        self.relations = Relations(attributes=ATTRIBUTES, latent=method.latent)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(method.seed)
            self.network = LinearRelations(method, self.relations)
        self.learned = Learned(self.network, config.lr, config.clip)
        self.values = ItemValues()
        self._users, self._residuals = LearnedRows(method.dim, config.rows_lr), LearnedRows(method.dim, config.rows_lr)
        self._biases = LearnedRows(1, config.rows_lr)
        count = len(self.relations)
        self._from_text = Growable((method.dim + 2 * count,), torch.float32)
        """What an item's text says: its vector, and e to the power of its halves, as a past item and as a candidate."""
        self._waiting: Examples | None = None
        self._turn = Turn(ROTATION)
        self._new_texts = NewTexts(texts)
        self.grow(1, 1)

    # -- size -------------------------------------------------------------------------------------------------

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        self._users.grow(users)
        for part in (self._residuals, self._biases, self._from_text, self.values):
            part.grow(items)

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        self._users.truncate(users)
        for part in (self._residuals, self._biases, self._from_text, self.values):
            part.truncate(items)

    # -- reading ----------------------------------------------------------------------------------------------

    def vectors(self, items: Tensor) -> Tensor:
        """``[..., d]`` of item rows, text parts as of their last renewal."""
        return self._from_text.view[items, : self.config.method.dim] + self._residuals.view[items]

    def past_halves(self, items: Tensor) -> Tensor:
        """``[..., R]`` of the posterior, for items as past ones."""
        return self._from_text.view[items, self.config.method.dim :][..., : len(self.relations)].clamp(min=LEAST).log()

    def candidate_halves(self, items: Tensor) -> Tensor:
        """``[..., R]`` of the posterior, for items as candidates."""
        return self._from_text.view[items, self.config.method.dim :][..., len(self.relations) :].clamp(min=LEAST).log()

    def gathered(self, asked: Asked, items: Tensor) -> Gathered:
        """What scoring candidate rows ``items [n, C]`` reads."""
        return Gathered(
            self._users.view[asked.users],
            self.vectors(asked.past),
            asked.past > 0,
            asked.minutes,
            self.past_halves(asked.past),
            self.values.codes[asked.past],
            self.vectors(items),
            self.candidate_halves(items),
            self.values.codes[items],
            self._biases.view[items].squeeze(-1),
        )

    @torch.no_grad()
    def scores(self, asked: Asked, items: Tensor) -> Tensor:
        """``[n, C]`` of candidate rows ``items [n, C]``, 0 for the null row."""
        return torch.from_numpy(
            kernels.scores(
                self._users.view[asked.users].numpy(),
                asked.past.numpy(),
                self.network.weight(asked.past > 0, asked.minutes).contiguous().numpy(),
                items.contiguous().numpy(),
                self._from_text.rows,
                self._residuals.view.numpy(),
                self._biases.view.numpy(),
                self.values.codes.numpy(),
                self.network.mixing.numpy(),
                self.relations.latent_at,
            )
        )

    @torch.no_grad()
    def contributions(self, asked: Asked, items: Tensor) -> Tensor:
        """``[n, R, H]`` what each past item adds to the score of item row ``items [n]`` through each relation."""
        return self.network.contributions(self.gathered(asked, items.unsqueeze(1)))[:, 0]

    def _texts_of(self, items: Tensor) -> Tensor:
        return torch.from_numpy(self.texts.rows[items.numpy()])

    # -- learning ---------------------------------------------------------------------------------------------

    def plan(
        self, graph: DynamicGraph, batch: EventBatch, asked: Asked, query: Tensor, *, learn: bool, seed: int
    ) -> RelationsUpdate:
        """What ``batch``, event e of which was asked as ``asked[query[e]]``, will change; nothing is written."""
        if not learn:
            return RelationsUpdate(self, self._waiting)
        events = (batch.positive & (batch.seq % self.config.learn_every == 0)).nonzero().squeeze(1)
        examples = self._waiting
        if len(events):
            new = Examples(pick(asked, query[events]), batch.items[events], batch.users[events])
            examples = together(examples, new)
        if examples is None or examples.events < self.config.learn_events:
            return RelationsUpdate(self, examples)
        return self._gradients(graph, examples, seed)

    @torch.enable_grad()
    def _gradients(self, graph: DynamicGraph, examples: Examples, seed: int) -> RelationsUpdate:
        """Of the ranking loss against drawn items plus λ times the reconstruction loss."""
        asked, network = examples.asked, self.network
        pool = self._pool(graph, seed)
        if not len(pool):
            return RelationsUpdate(self, examples)
        generator = torch.Generator().manual_seed((seed + 1) % 2**63)
        drawn = pool[torch.randint(len(pool), (examples.events, self.config.draws), generator=generator)]
        drawn_past = pool[torch.randint(len(pool), asked.past.shape, generator=generator)]
        taken = torch.cat((asked.past, examples.items.unsqueeze(1)), dim=1)
        met, met_past = self._met_of(asked.users, drawn, taken), self._met_of(asked.users, drawn_past, taken)
        rows, place = torch.unique(torch.cat((taken, drawn, drawn_past), dim=1), return_inverse=True)
        width, draws = asked.past.shape[1], self.config.draws
        texts = self._texts_of(rows)
        residuals, users = self._residuals.view[rows].requires_grad_(), self._users.view[asked.users].requires_grad_()
        vectors, halves = network.bases(texts) + residuals, network.halves(texts)
        asked_for = torch.cat((examples.items.unsqueeze(1), drawn), dim=1)
        at = place[:, width : width + 1 + draws]
        biases = self._biases.view[asked_for].squeeze(-1).requires_grad_()
        past, known = embedding(place[:, :width], vectors), asked.past > 0
        given = Gathered(
            users,
            past * known.unsqueeze(2),
            known,
            asked.minutes,
            embedding(place[:, :width], halves.past),
            self.values.codes[asked.past],
            embedding(at, vectors),
            embedding(at, halves.candidate),
            self.values.codes[asked_for],
            biases,
        )
        loss = self._loss(given, met, embedding(place[:, width + 1 + draws :], vectors), met_past)
        weights, touched = self.learned.gradients(loss, (residuals, users, biases))
        # A mean over E events; a row is in a few of them, and Adagrad takes its gradients as they come.
        by_row = [g * examples.events if g is not None else None for g in touched]
        rows_of = (rows, asked.users, asked_for.flatten())
        return RelationsUpdate(self, None, weights, list(zip(rows_of, by_row, strict=True)), float(loss.detach()))

    def _loss(self, given: Gathered, met: Tensor, drawn_past: Tensor, met_past: Tensor) -> Tensor:
        """Ranking loss of the first candidate against the others, but for those ``met [E, draws]``, plus λ times the
        reconstruction loss against vectors ``drawn_past [E, H, d]`` in the place of past ones, but for those
        ``met_past [E, H]``.
        """
        method, known = self.config.method, given.known & ~met_past
        scores = self.network.scores(given)
        usable = ~met.all(1)
        scores = torch.cat((scores[:, :1], scores[:, 1:].masked_fill(met, -torch.inf)), dim=1)[usable]
        loss = ranking_loss(scores) if len(scores) else scores.sum()
        some = known.any(1)
        if not method.lambda_ or not bool(some.any()):
            return loss
        log_q = torch.log_softmax(given.past_halves + given.halves[:, :1], dim=-1)
        explained = reconstruction_loss(
            log_q[some],
            given.past[some],
            drawn_past[some],
            given.items[some, 0],
            self.network.relation,
            known[some],
            leave_out=int(method.leave_one_latent),
            alpha=method.alpha,
            entropy=method.entropy,
        )
        balanced = method.balance * spread(log_q[known], self.relations.latent_at)
        return loss + method.lambda_ * (explained - balanced)

    def _met_of(self, users: Tensor, drawn: Tensor, taken: Tensor) -> Tensor:
        """``[E, n]`` which of the items ``drawn [E, n]`` ``users [E]`` have met: nothing is learned against these.
        Where that would leave none, as for who takes the same things again and again, only those ``taken [E, H + 1]``
        of late.
        """
        lately = (drawn.unsqueeze(2) == taken.unsqueeze(1)).any(2)
        met = lately | (self._met.kinds(users, drawn) != 0)
        return torch.where(met.all(1, keepdim=True), lately, met)

    def _pool(self, graph: DynamicGraph, seed: int) -> Tensor:
        """Item rows that learning draws from: only what somebody has met, so nothing that this batch brings."""
        generator = torch.Generator().manual_seed(seed % 2**63)
        drawn = torch.randint(1, max(graph.sizes()[1], 2), (self.config.pool,), generator=generator)
        drawn = drawn[drawn < graph.sizes()[1]]
        return drawn[graph.items.events[drawn] > 0]

    def learn(self, graph_items: int, weights: dict[str, Tensor], by_row: list[tuple[Tensor, Tensor | None]]) -> None:
        """Write an update, unless it is not finite: then it is counted and the last good weights stay."""
        if not self.learned.step(weights, [gradient for _, gradient in by_row]):
            return
        tables = (self._residuals, self._users, self._biases)
        for table, (rows, gradient) in zip(tables, by_row, strict=True):
            if gradient is not None:
                table.learn(rows, gradient.reshape(len(rows), table.width))
        self._renew(self._turn.next(graph_items))

    def follow(self, graph: DynamicGraph, items: Tensor) -> None:
        """Renew what texts say of touched ``items [m]``, and of those that have a new text since the last call; take
        in what the catalogue says of newcomers. Within a step only.
        """
        self.values.follow(graph)
        self._renew(torch.unique(torch.cat((items, self._new_texts.rows()))))
        self._new_texts.taken()

    @torch.no_grad()
    def _renew(self, items: Tensor) -> None:
        items = items[items < len(self._from_text)]
        texts = self._texts_of(items)
        halves = (half.clamp(-MOST_HALF, MOST_HALF).exp() for half in self.network.halves(texts))
        self._from_text.view[items] = torch.cat((self.network.bases(texts), *halves), dim=1)

    def keep(self, waiting: Examples | None) -> None:
        """Let ``waiting`` be what waits for the next update."""
        self._waiting = waiting

    def forget_user(self, user: int) -> None:
        """Return the user's vector to its start, and drop the user's examples."""
        self._users.forget(user)
        if self._waiting is not None:
            self._waiting = without_user(self._waiting, user)

    # -- state ------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Weights, optimiser, rows, text parts and which of them are outdated, waiting examples."""
        state = self.learned.state() | self._new_texts.state() | gather(self._tables())
        state |= {"from_text": self._from_text.view, "turn": torch.tensor(self._turn.begin)}
        if self._waiting is not None:
            state |= {f"waiting.{name}": value for name, value in flat(self._waiting).items()}
        return state

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`; the item texts must have been loaded before."""
        self.learned.load_state(state)
        scatter(self._tables(), state)
        self._from_text.replace(state["from_text"])
        self._new_texts.load_state(state)
        self._turn.begin = int(state["turn"])
        waiting = below("waiting.", state)
        self._waiting = restored(waiting) if waiting else None

    def _tables(self) -> dict[str, Stateful]:
        return {
            "users": self._users,
            "residuals": self._residuals,
            "biases": self._biases,
            "values": self.values,
        }


@dataclass(frozen=True)
class RelationsUpdate:
    """What a batch changes: an update of everything learned, or what waits for one."""

    model: OnlineRelations
    waiting: Examples | None
    weights: dict[str, Tensor] = field(default_factory=dict)
    by_row: list[tuple[Tensor, Tensor | None]] = field(default_factory=list)
    loss: float = 0.0

    def apply(self) -> None:
        """Write it."""
        self.model.keep(self.waiting)
        if self.weights:
            self.model.learn(len(self.model.values.codes), self.weights, self.by_row)
