"""The one ordered step: the only way that graph state changes, live, in replay, in training and in tests.

Score before learning, learn, commit. Everything that can fail happens before the first write, so a step that
raises leaves the state as it was.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dyngraph.advance import Advance
from dyngraph.batch import BadBatch, Columns, EventBatch
from dyngraph.beside import ranked_beside
from dyngraph.earlier import Earlier
from dyngraph.events import EventType, Interaction
from dyngraph.filtering import Sieve
from dyngraph.graph import DynamicGraph
from dyngraph.ids import IdTable
from dyngraph.listing import lists_of
from dyngraph.lists import Filters, RecommendationList
from dyngraph.met import MetItems
from dyngraph.nodes import NodeStore
from dyngraph.order import Moment
from dyngraph.protocols import (
    Baseline,
    Encoder,
    Habits,
    Learner,
    Queries,
    Ranker,
    Scorer,
    Source,
    Update,
)
from dyngraph.ranked import Ranking, context_of
from dyngraph.ranking import (
    candidate_ranks,
    contains,
    full_ranks,
    locate,
    rivals,
    unite,
    without,
)
from dyngraph.reranking import Explorer, Rerank
from dyngraph.state import State, Stateful, digest, gather, scatter


class QueryInThePast(ValueError):
    """Raised for a query older than the state's horizon: the past is seen by replay."""


@dataclass(frozen=True)
class StepResult:
    """What one step did. ``ranks`` has a model's middle rank per event, NaN where the event is no target."""

    events: int
    horizon: Moment
    users: list[str] = field(default_factory=list)
    """Touched users, each once, in order of their last event."""
    event_users: list[str] = field(default_factory=list)
    """The user of each entry of ``ranks``."""
    ranks: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    repeats: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """Whether the user had met the item before, per event."""
    top: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    """``[B, k]`` item rows of the list that each event's user would have got just before, 0 for none; k is the engine's
    ``kept``."""
    tops: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    """The same for each model that is ranked beside the engine on its own scores."""
    loss: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


class Engine:
    """A dynamic graph, the models over it, and the order in which they act.

    ``sources`` propose and describe candidates, ``ranker`` orders them; ``baselines`` are ranked beside them on every
    event. ``habits`` tells the ranker what kind of user asks, ``met`` what a user has met: with ``mask_seen`` that is
    taken out of every ranking (the published protocol on data without repeats). ``watched`` sources keep their state up
    to date without taking part in the ranking. ``kept`` places of every ranking are told in the step's result.
    Without ``within_batch`` a ranking does not know what its user did earlier in the same batch, as is the rule where
    batches of published link prediction are compared.
    """

    def __init__(
        self,
        graph: DynamicGraph,
        encoder: Encoder,
        sources: Sequence[Source],
        ranker: Ranker,
        habits: Habits,
        baselines: Sequence[Baseline] = (),
        *,
        watched: Sequence[Source] = (),
        seed: int = 0,
        mask_seen: bool = False,
        kept: int = 0,
        met: MetItems | None = None,
        rerank: Rerank | None = None,
        explorer: Explorer | None = None,
        within_batch: bool = True,
        scorers: Sequence[Scorer] = (),
    ) -> None:
        self.graph = graph
        self.encoder = encoder
        self.sources = list(sources)
        self.ranker = ranker
        self.habits = habits
        self.baselines = list(baselines)
        self.scorers = list(scorers)
        self.met = met or MetItems()
        self.graph.reasoning.met = self.met.kinds
        self.rerank = rerank
        self.explorer = explorer
        self.seed = seed
        self.mask_seen = mask_seen
        self.kept = kept
        self.within_batch = within_batch
        self._stateful = [*self.sources, *watched]
        self._learners = [source for source in self._stateful if isinstance(source, Learner)]

    # -- the step ---------------------------------------------------------------------------------------------

    def step(
        self,
        events: Sequence[tuple[int, Interaction]],
        *,
        learn: bool = True,
        learn_encoder: bool | None = None,
        apart: NDArray[np.bool_] | None = None,
    ) -> StepResult:
        """Take one batch of ``(seq, interaction)``: rank, learn, commit.

        ``learn_encoder`` (default: as ``learn``) is false where a trainer beside hands the encoder its weights.
        With ``apart [B]``, the true events of one basket are ranked without each other's items among the candidates.
        Impressions are exposure, not interest: they neither enter the graph nor are they targets. Raises
        :class:`dyngraph.batch.BadBatch` for events that the graph cannot take; nothing has changed then.
        """
        begun = time.perf_counter()
        columns = Columns(
            [event for event in events if event[1].event_type is not EventType.IMPRESSION], self.graph.edge_dim
        )
        if not len(columns):
            return StepResult(events=0, horizon=self.graph.horizon)
        # Ranked while newcomers have no row yet: an item that this batch brings cannot be a candidate for it.
        met = self.graph.find(columns)
        ranking, query = self._rank_batch(met, columns.users)
        hidden = None if apart is None else self._rivals(met, ranking, query, torch.from_numpy(apart))
        ranks, repeats = self._target_ranks(met, ranking, query, hidden)
        masked = ranking.seen if self.mask_seen else None
        beside = ranked_beside(self.scorers, self.graph, ranking.queries, met, query, masked, self.kept)
        rankable = np.isfinite(ranks["evergraph"])
        ranks |= {name: np.where(rankable, rank, ranks["evergraph"]) for name, rank in beside.ranks.items()}
        update = self._plan_ranker(met, ranking, query) if learn else None
        sizes = self.graph.sizes()
        try:
            batch = self.graph.admit(columns)
            self._grow()
            seed = self.seed * 1_000_003 + int(batch.seq.min())
            lessons = [
                learner.lesson(self.graph, batch, ranking.queries, query, learn=learn, seed=seed)
                for learner in self._learners
            ]
            learning = learn if learn_encoder is None else learn_encoder
            plan = self.encoder.plan(self.graph, batch, learn=learning, seed=seed)
        except BaseException:
            self._truncate(sizes)
            raise
        loss = {}
        if update is not None:
            update.apply()
            loss["ranker"] = update.loss
        for lesson in lessons:
            lesson.apply()
        for source in self._stateful:
            source.observe(self.graph, batch)
        self.met.observe(self.graph, batch)
        if self.explorer is not None:
            self.explorer.observe(self.graph, batch)
        learned = Advance(self.graph, self.encoder, batch, plan).write()
        if learned is not None:
            loss["encoder"] = learned
        self.encoder.refresh(self.graph, batch, learned=learned is not None)
        return StepResult(
            events=len(batch),
            horizon=self.graph.horizon,
            users=list(dict.fromkeys(reversed(columns.users)))[::-1],
            event_users=columns.users,
            ranks=ranks,
            repeats=repeats.numpy(),
            top=self._top(ranking, query, hidden),
            tops=beside.tops,
            loss=loss,
            seconds=time.perf_counter() - begun,
        )

    def _grow(self) -> None:
        users, items = self.graph.sizes()
        self.encoder.grow(users, items)
        for source in self._stateful:
            source.grow(users, items)
        if self.explorer is not None:
            self.explorer.grow(users, items)

    def _truncate(self, sizes: tuple[int, int]) -> None:
        self.graph.truncate(sizes)
        self.encoder.truncate(*sizes)
        for source in self._stateful:
            source.truncate(*sizes)
        if self.explorer is not None:
            self.explorer.truncate(*sizes)

    def _rank_batch(self, batch: EventBatch, names: Sequence[str]) -> tuple[Ranking, Tensor]:
        """Rank once per basket, the events of one user at one moment: all of them see the state before the basket, and
        what the same user did earlier in this batch.
        """
        rows = batch.users.numpy()
        strangers = {name: -place for place, (name, row) in enumerate(zip(names, rows, strict=True), 1) if not row}
        people = np.where(rows > 0, rows, [strangers.get(name, 0) for name in names]) if strangers else rows
        earlier, event, place = batch.earlier_of(people).baskets()
        first = torch.full((len(event),), int(batch.seq.min()))
        if not self.within_batch:
            earlier = Earlier.none(len(event))
        chosen = torch.from_numpy(event)
        asked = [names[number] for number in event.tolist()]
        ranking = self._rank(asked, batch.users[chosen], batch.ts[chosen], first, earlier=earlier)
        return ranking, torch.from_numpy(place)

    def _rivals(self, batch: EventBatch, ranking: Ranking, query: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """As :func:`dyngraph.ranking.rivals`, of items that could be ranked."""
        seen = ranking.seen
        assert seen is not None
        chosen = chosen & (batch.items > 0)
        if self.mask_seen:
            chosen = chosen & ~contains(seen, query, batch.items)
        place = locate(ranking.items, query, batch.items)
        return rivals(query, batch.items, place, chosen, ranking.items.shape[1])

    def _target_ranks(
        self, batch: EventBatch, ranking: Ranking, query: Tensor, hidden: tuple[Tensor, Tensor] | None
    ) -> tuple[dict[str, NDArray[np.float64]], Tensor]:
        seen = ranking.seen
        assert seen is not None
        known = batch.items > 0
        repeats = contains(seen, query, batch.items) & known
        masked = seen if self.mask_seen else None
        countable = known & ~repeats if self.mask_seen else known
        rankable = torch.full((len(batch),), self.graph.sizes()[1] - 1)
        if masked is not None:
            rankable = rankable - torch.from_numpy(np.diff(masked.start))[query]
        place = locate(ranking.items, query, batch.items)
        rows = ranking.scores[query]
        if hidden is not None:
            rows, rankable = rows.masked_fill(hidden[0], -torch.inf), rankable - hidden[1]
        ranks = {"evergraph": candidate_ranks(rows, place, rankable)}
        for baseline in self.baselines:
            ranks[baseline.name] = full_ranks(baseline.scores(), batch.items * countable, masked, query)
        out = {}
        for name, rank in ranks.items():
            rank = torch.where(countable, rank, torch.inf)
            out[name] = torch.where(batch.positive, rank, torch.nan).numpy()
        return out, repeats

    def _top(self, ranking: Ranking, query: Tensor, hidden: tuple[Tensor, Tensor] | None) -> NDArray[np.int64]:
        if not self.kept:
            return np.zeros((len(query), 0), dtype=np.int64)
        scores, items = ranking.scores, ranking.items
        if hidden is not None:
            scores, items = scores[query].masked_fill(hidden[0], -torch.inf), items[query]
        best = torch.topk(scores, min(self.kept, scores.shape[1]), dim=1)
        rows = torch.zeros(len(items), self.kept, dtype=torch.int64)
        rows[:, : best.indices.shape[1]] = items.gather(1, best.indices) * torch.isfinite(best.values)
        return (rows if hidden is not None else rows[query]).numpy()

    def _plan_ranker(self, batch: EventBatch, ranking: Ranking, query: Tensor) -> Update | None:
        place = locate(ranking.items, query, batch.items)
        hit = batch.positive & (place >= 0)
        if not bool(hit.any()):
            return None
        return self.ranker.plan(ranking.features, ranking.context, ranking.scores, query[hit], place[hit])

    # -- lists ------------------------------------------------------------------------------------------------

    def recommend(
        self, users: Sequence[str], at: Moment | None = None, k: int = 10, filters: Filters | None = None
    ) -> list[RecommendationList]:
        """Read-only top-k lists for ``users`` at ``at`` (default: just after the newest event).

        Unknown users get what is popular. Raises :class:`QueryInThePast` for a moment before the horizon.
        """
        at = at or self.graph.horizon.next()
        if at <= self.graph.horizon:
            raise QueryInThePast(
                f"the list was asked for at {tuple(at)}, but the state has seen events up to "
                f"{tuple(self.graph.horizon)}; ask later, or replay the log up to that moment"
            )
        if not users:
            return []
        rows = self.graph.user_ids.find(users)
        sieve = Sieve(filters or Filters(), self.graph, self.met)
        ranking = self._rank(
            users,
            rows,
            torch.full_like(rows, at.ts),
            torch.full_like(rows, at.seq),
            sieve=sieve,
            k=k,
        )
        return lists_of(self.graph, self.sources, ranking, at, k, rerank=self.rerank, explorer=self.explorer)

    def candidates(self, users: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Item rows ``[U, C]`` (0 for none) that stand for a place in the users' lists just after the newest event, and
        their scores ``[U, C]`` (-inf for none). Read-only.
        """
        at, rows = self.graph.horizon.next(), self.graph.user_ids.find(users)
        ranking = self._rank(users, rows, torch.full_like(rows, at.ts), torch.full_like(rows, at.seq))
        return ranking.items, ranking.scores

    def _rank(
        self,
        names: Sequence[str],
        users: Tensor,
        ts: Tensor,
        seq: Tensor,
        *,
        sieve: Sieve | None = None,
        k: int = 0,
        earlier: Earlier | None = None,
    ) -> Ranking:
        vectors = self.encoder.embed(self.graph, users, ts, seq)
        queries = Queries(users, ts, seq, vectors, earlier, names)
        proposed = [source.propose(self.graph, queries) for source in self.sources]
        if sieve is not None and self.explorer is not None:
            proposed.append(self.explorer.propose(self.graph).expand(len(users), -1))
        items = unite(proposed, self.graph.sizes()[1])
        if sieve is not None:
            items = sieve.candidates(users, items, k)
        # A batch needs to know what was met for its figures, a list only where it is to be hidden.
        seen = self.met.seen(users, earlier) if self.mask_seen or earlier is not None else None
        if self.mask_seen and seen is not None:
            items = without(seen, items)
        valid = items > 0
        features = torch.cat([source.describe(self.graph, queries, items) for source in self.sources], dim=2)
        context = context_of(self.graph, self.habits, users, ts, earlier)
        gates = self.ranker.gates(context)
        scores = torch.bmm(features, gates.unsqueeze(2)).squeeze(2).masked_fill(~valid, -torch.inf)
        return Ranking(queries, seen, items, features, gates, context, scores)

    # -- what comes from outside ------------------------------------------------------------------------------

    def use_weights(self, weights: State, version: int) -> None:
        """Take the encoder's weights from a trainer beside; call it between steps."""
        self.encoder.use_weights(self.graph, weights, version)

    def describe(
        self, *, users: Mapping[str, Sequence[float]] | None = None, items: Mapping[str, Sequence[float]] | None = None
    ) -> int:
        """Give nodes their static vectors (text); call it between steps.

        Returns how many of them are in the graph by now: those of nodes that appear later have to be given again then.
        Raises :class:`dyngraph.batch.BadBatch` for a vector of another width than the graph's, or not finite.
        """
        graph = self.graph
        user_rows, user_vectors = _described(graph.user_ids, graph.users, users or {}, "user")
        item_rows, item_vectors = _described(graph.item_ids, graph.items, items or {}, "item")
        graph.users.describe(user_rows, user_vectors)
        graph.items.describe(item_rows, item_vectors)
        self.encoder.described(graph, user_rows, item_rows)
        return len(user_rows) + len(item_rows)

    # -- state ------------------------------------------------------------------------------------------------

    def erase_user(self, user_id: str) -> bool:
        """Clear all that is kept of one user; weights are not unlearned. False if the user is unknown."""
        row = int(self.graph.user_ids.find([user_id])[0])
        if not row:
            return False
        self.graph.forget_user(row)
        self.encoder.forget_user(row)
        for source in self._stateful:
            source.forget_user(row)
        self.met.forget_user(row)
        if self.explorer is not None:
            self.explorer.forget_user(row)
        return True

    def _parts(self) -> dict[str, Stateful]:
        sources = {f"source.{source.name}": source for source in self._stateful}
        parts = {"graph": self.graph, "encoder": self.encoder, "ranker": self.ranker, "met": self.met, **sources}
        return parts if self.explorer is None else parts | {"explorer": self.explorer}

    def state(self) -> State:
        """Everything that can change a list."""
        return gather(self._parts())

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        scatter(self._parts(), state)

    def digest(self) -> str:
        """Hex digest of the whole state."""
        return digest(self.state())


def _described(
    ids: IdTable, store: NodeStore, vectors: Mapping[str, Sequence[float]], side: str
) -> tuple[Tensor, Tensor]:
    """Rows ``[n]`` and vectors ``[n, v]`` of those nodes that the graph knows."""
    width = store.vectors.shape[1]
    for name, vector in vectors.items():
        if len(vector) != width or not all(map(math.isfinite, vector)):
            raise BadBatch(
                f"the vector of {side} {name!r} has {len(vector)} numbers, or some that are not finite; this graph "
                f"takes {width} finite ones (the encoder's {side}_dim)"
            )
    known = [name for name, row in zip(vectors, ids.find(list(vectors)).tolist(), strict=True) if row]
    rows = torch.tensor([list(vectors[name]) for name in known], dtype=torch.float32).reshape(len(known), width)
    return ids.find(known), rows
