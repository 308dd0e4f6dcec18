"""Every protocol on logs whose figures are computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from small_coded import drawn, small

from evaluation.metrics import figures
from evaluation.protocols import Outcome, Plan, evaluated_rows
from evaluation.protocols.holdout import held_out, leave_one_out
from evaluation.protocols.prequential import prequential
from models.baselines import Basket, build_baseline
from models.baselines.popularity import Popularity

# Warm-up: a 2, b 2. Then cem's basket, an item that nobody knows, and a repeat.
TOY = small("ann:a@1 bob:a@2 ann:b@3 bob:b@4 cem:b@5 cem:a@5 ann:c@6 bob:a@7")


def popularity(text_or_log: object, plan: Plan) -> Outcome:
    log = small(text_or_log) if isinstance(text_or_log, str) else text_or_log
    walk = leave_one_out if plan.protocol.startswith("leave-one-out") else prequential
    return walk(log, lambda: build_baseline("popularity"), plan)  # type: ignore[arg-type]


class Constant(Popularity):
    """Scores that say nothing, or what a test wants said."""

    name = "constant"

    def __init__(self, value: float = 0.0, extra: int = 0) -> None:
        super().__init__()
        self._value, self._extra = value, extra

    def scores(self, user: int, ts: int) -> NDArray[np.float64]:
        return np.full(self.items + 1 + self._extra, self._value)


def test_prequential_by_hand() -> None:
    outcome = popularity(TOY, Plan())
    assert outcome.row.tolist() == [4, 5, 6, 7]
    # a and b tie twice; c was unseen and stays in the average; then a 3, b 3, c 1.
    assert outcome.rank.tolist() == [1.5, 1.5, math.inf, 1.5]
    assert figures(outcome.rank) == pytest.approx({"hr@10": 0.75, "ndcg@10": 0.75 / math.log2(2.5), "mrr": 0.5})
    assert outcome.top[:, :4].tolist() == [[1, 2, 0, 0], [1, 2, 0, 0], [1, 2, 0, 0], [1, 2, 3, 0]]
    assert outcome.repeat.tolist() == [False, False, False, True]
    assert outcome.cold_user.tolist() == [True, True, False, False]
    assert not outcome.sampled


def test_cold_items_are_those_with_too_few_events_before_the_group() -> None:
    assert popularity(TOY, Plan(cold_item_events=2)).cold_item.tolist() == [False, False, True, False]
    assert popularity(TOY, Plan(cold_item_events=3)).cold_item.tolist() == [True, True, True, False]


def test_a_group_is_scored_whole_before_any_of_it_is_learned() -> None:
    together = popularity("ann:a@1 bob:b@2 cem:b@3 cem:a@3", Plan())
    apart = popularity("ann:a@1 bob:b@2 cem:b@3 cem:a@3.5", Plan())
    assert together.rank.tolist() == [1.5, 1.5]
    assert apart.rank.tolist() == [1.5, 2.0], "learning between the lines of a basket changes the figure"


def test_a_group_across_the_border_is_evaluated_only_beyond_it() -> None:
    assert popularity("ann:a@1 bob:b@2 bob:a@2 bob:c@2", Plan()).row.tolist() == [2, 3]


def test_masking_takes_away_what_the_user_met_before_but_not_what_is_in_the_basket() -> None:
    outcome = popularity(TOY, Plan(mask_seen=True))
    assert outcome.rank.tolist() == [1.5, 1.5, math.inf, math.inf]
    assert outcome.top[:, :2].tolist() == [[1, 2], [1, 2], [0, 0], [3, 0]]


def test_first_time_only_leaves_repeats_out() -> None:
    assert popularity(TOY, Plan(only="first-time")).row.tolist() == [4, 5, 6]


def test_other_true_items_of_the_group_can_leave_the_candidates() -> None:
    outcome = popularity(TOY, Plan(leave_out_group=True))
    assert outcome.rank.tolist() == [1, 1, math.inf, 1.5]
    assert outcome.top[:2, :2].tolist() == [[2, 0], [1, 0]]


def test_a_sample_changes_which_events_count_and_nothing_else() -> None:
    log = drawn(300)
    whole, part = popularity(log, Plan()), popularity(log, Plan(sample=40, seed=5))
    assert len(part) == 40
    same = np.isin(whole.row, part.row)
    assert (whole.rank[same] == part.rank).all() and (whole.top[same] == part.top).all()
    assert part.row.tolist() == popularity(log, Plan(sample=40, seed=5)).row.tolist()
    assert part.row.tolist() != popularity(log, Plan(sample=40, seed=6)).row.tolist()
    assert evaluated_rows(log, Plan(sample=10_000)).sum() == len(whole)


def test_a_split_in_time_ranks_the_last_15_percent_and_learns_on_unless_frozen() -> None:
    users = iter(range(100))
    # Train: a 8, b 6. Validation and test: b six times, of which the last three are evaluated.
    text = " ".join(f"u{(n := next(users))}:{item}@{n}" for item in "ab" * 6 + "aa" + "b" * 6)
    learning, frozen = popularity(text, Plan("time-split")), popularity(text, Plan("time-split", freeze=True))
    assert learning.row.tolist() == frozen.row.tolist() == [17, 18, 19]
    assert learning.rank.tolist() == [1, 1, 1]
    assert frozen.rank.tolist() == [2, 2, 2]


def test_a_frozen_follower_still_knows_what_the_user_did_last() -> None:
    # In training b follows a; in the test eve takes a, then b.
    train = "".join(f"u{n}:a@{n} u{n}:b@{n}.5 x{n}:c@{n} y{n}:c@{n} " for n in range(1, 6))
    log = small(train + " ".join(f"z{n}:c@{n}" for n in range(7, 14)) + " eve:a@20 eve:b@21")
    plan = Plan("time-split", freeze=True)
    outcome = prequential(log, lambda: build_baseline("markov"), plan)
    assert outcome.rank[-1] == 1


HELD = "ann:a@1 bob:a@1 ann:b@2 bob:b@2 ann:c@3 bob:d@3 cem:a@4 cem:c@5"
"""Held out: c of ann and d of bob, b of both for validation; cem has too few events and is learned: a 3, c 1."""


def test_leave_one_out_by_hand() -> None:
    log = small(HELD)
    rows = held_out(log, Plan("leave-one-out"))
    assert (rows.learned.tolist(), rows.validation.tolist(), rows.tests.tolist()) == ([0, 1, 6, 7], [2, 3], [4, 5])
    # Items by score: a 3, c 1, b 0 (followed, not learned), d (never met by the model).
    assert popularity(log, Plan("leave-one-out")).rank.tolist() == [2, 4]
    # Without a and b, which both users met: c, d.
    masked = popularity(log, Plan("leave-one-out", mask_seen=True))
    assert masked.rank.tolist() == [1, 2]
    assert masked.top[:, :3].tolist() == [[3, 4, 0], [3, 4, 0]]


def test_validation_events_are_known_but_nothing_learns_from_them() -> None:
    log = small("ann:x@1 bob:y@1 ann:a@2 bob:a@2 ann:b@3 bob:b@3 ann:p@4 ann:q@5")
    ranks: dict[str, float] = {}
    for name in ("markov", "popularity"):
        outcome = leave_one_out(log, lambda name=name: build_baseline(name), Plan("leave-one-out"))  # type: ignore[misc]
        ranks[name] = float(outcome.rank[outcome.row.tolist().index(5)])
    # Bob's validation item a is his last; ann went from a to b. Each item was learned once, but p and q.
    assert ranks == {"markov": 1.0, "popularity": 2.5}


def test_shuffled_ties_move_events_within_their_moment_alone() -> None:
    log = drawn(200)
    plain = held_out(log, Plan("leave-one-out"))
    seeds = [held_out(log, Plan("leave-one-out", shuffle_ties=True, seed=seed)) for seed in (1, 1, 2)]
    assert seeds[0].tests.tolist() == seeds[1].tests.tolist() != seeds[2].tests.tolist()
    for rows in seeds:
        assert sorted(log.group[rows.tests]) == sorted(log.group[plain.tests])
        parts = np.concatenate(rows)
        assert len(np.unique(parts)) == len(parts) == len(log)
        assert (np.diff(log.group[rows.learned]) >= 0).all()


def test_sampled_negatives_are_unmet_items_and_the_outcome_says_so() -> None:
    log = drawn(200, items=60)
    plan = Plan("leave-one-out-sampled", negatives=5, k=6, seed=3)

    def knows_all() -> Constant:
        model = Constant()
        model.items = log.n_items
        return model

    outcome = leave_one_out(log, knows_all, plan)
    assert outcome.sampled
    assert set(outcome.rank) == {1 + 5 / 2}
    for user, row, top in zip(outcome.user, outcome.row, outcome.top, strict=True):
        met = set(log.items[log.users == user].tolist())
        assert set(top.tolist()) & met == {log.items[row]}
        assert len(set(top.tolist())) == 6 and 0 not in top
    again = leave_one_out(log, knows_all, plan)
    assert (again.top == outcome.top).all()


def test_fewer_negatives_are_drawn_where_the_user_met_nearly_everything() -> None:
    outcome = popularity(HELD, Plan("leave-one-out-sampled", negatives=99))
    assert outcome.rank.tolist() == [1, 2]


@pytest.mark.parametrize(("model", "complaint"), [(Constant(math.nan), "NaN"), (Constant(extra=1), "5 scores; .1 . 3")])
def test_scores_that_cannot_be_ranked_are_refused_naming_the_model(model: Constant, complaint: str) -> None:
    log = small("ann:a@1 ann:b@2 ann:c@3 bob:a@4 bob:b@5")
    with pytest.raises(ValueError, match=f"constant: .*{complaint}"):
        prequential(log, lambda: model, Plan(warmup=0.7))


def test_progress_hears_of_every_event_and_of_figures_once_there_are_some() -> None:
    told: list[tuple[int, dict[str, float]]] = []
    log = drawn(5_000, users=300, items=200)
    prequential(log, lambda: build_baseline("popularity"), Plan(), lambda *news: told.append(news))
    done = [at for at, _ in told]
    assert done == sorted(done) and done[-1] == len(log) and len(done) >= 3
    assert not told[0][1] and told[-1][1].keys() == {"hr@10", "ndcg@10", "mrr"}


def test_the_same_seed_gives_the_same_outcome() -> None:
    log = drawn(400)
    for plan in (Plan(sample=50), Plan("leave-one-out", shuffle_ties=True), Plan("leave-one-out-sampled", negatives=3)):
        one, two = popularity(log, plan), popularity(log, plan)
        assert (one.rank == two.rank).all() and (one.top == two.top).all()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"protocol": "leave-two-out"}, "use one of: prequential, time-split, leave-one-out, leave-one-out-sampled"),
        ({"only": "repeat"}, "use one of: all, first-time"),
        ({"warmup": 1.0}, "warmup = 1.0 is no share"),
        ({"k": 0}, "k = 0: use 1 or more"),
        ({"sample": 0}, "sample = 0: use 1 or more"),
        ({"negatives": -1}, "negatives = -1: use 1 or more"),
        ({"seed": -1}, "must be 0 or more"),
    ],
)
def test_a_plan_that_means_nothing_is_refused(settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Plan(**settings)  # type: ignore[arg-type]


def test_a_log_without_anything_to_evaluate_is_refused() -> None:
    with pytest.raises(ValueError, match="no event is left to evaluate"):
        popularity("ann:a@1 bob:b@2 ann:a@3 bob:b@4", Plan(only="first-time"))
    with pytest.raises(ValueError, match="no user has 3 events"):
        popularity("ann:a@1 bob:b@2 ann:a@3 bob:b@4", Plan("leave-one-out"))
    with pytest.raises(ValueError, match="use leave_one_out"):
        prequential(TOY, Constant, Plan("leave-one-out"))
    with pytest.raises(ValueError, match="use prequential"):
        leave_one_out(TOY, Constant, Plan())


def test_a_model_that_is_no_follower_learns_the_validation_events() -> None:
    learned: list[int] = []

    class Learner:
        name = "learner"
        settings: dict[str, str | int | float | bool] = {}  # noqa: RUF012

        def scores(self, user: int, ts: int) -> NDArray[np.float64]:
            return np.zeros(5)

        def learn(self, basket: Basket) -> None:
            learned.extend(basket.items.tolist())

    leave_one_out(small(HELD), Learner, Plan("leave-one-out"))
    assert learned == [1, 1, 1, 3, 2, 2]
