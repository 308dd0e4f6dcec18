"""What was done and what came out, in sentences: for the report and for the terminal."""

from __future__ import annotations

from evaluation.experiments.results import Comparison, Results
from evaluation.protocols.plan import TEST_FROM, TRAIN_UNTIL, Plan


def title(plan: Plan, name: str, ablation: str) -> str:
    """The headline of a report."""
    return f"{'Ablation' if ablation else 'Evaluation'} on {name}, {plan.protocol}"


def notes(plan: Plan, targets: str, rating_threshold: float | None) -> list[str]:
    """What a reader has to know of the protocol to read the figures rightly."""
    said = [_walk(plan), _candidates(plan), f"What counts as a hit: {targets}{_threshold(rating_threshold)}."]
    if plan.protocol == "leave-one-out-sampled":
        said.append(
            "Sampled ranking: figures compare only with others of the same sampling, and may order models otherwise "
            "than full ranking does (Krichene and Rendle 2020)."
        )
    if plan.protocol in ("prequential", "time-split"):
        if plan.only == "first-time":
            said.append("Only events whose user had not met the item before are counted.")
        if plan.sample is not None:
            said.append(f"Of the events to evaluate, {plan.sample:,} drawn by seed {plan.seed} are counted.")
        said.append("Targets not seen before and users without history stay in the average.")
    said.append("Ties share their middle rank: 1 + #greater + #equal others / 2.")
    said.append("Intervals are percentile bootstraps over users, since events of one user are not independent.")
    return said


def _walk(plan: Plan) -> str:
    group = "The events of one user at one moment are ranked together before any of them is learned."
    if plan.protocol == "prequential":
        return (
            f"Prequential: the first {100 * plan.warmup:g} % of the events are learned only; after that every event is "
            f"ranked before it is learned. {group}"
        )
    if plan.protocol == "time-split":
        learned = (
            f"the state is frozen after the first {100 * TRAIN_UNTIL:g} %"
            if plan.freeze
            else f"learning goes on event by event. {group[:-1]}"
        )
        return f"Time split: the last {100 - 100 * TEST_FROM:g} % of the events are evaluated; {learned}."
    order = (
        f"events of one moment shuffled by seed {plan.seed}"
        if plan.shuffle_ties
        else "in the published order of the log"
    )
    return f"Leave-one-out: the last event of each user is the test, {order}; everything else is learned first."


def _candidates(plan: Plan) -> str:
    if plan.protocol == "leave-one-out-sampled":
        return f"Candidates: the true item and {plan.negatives} drawn from the items that the user has not met."
    of = "every item of the log" if plan.protocol == "leave-one-out" else "every item seen so far"
    without = ["those that the user has met"] if plan.mask_seen else []
    without += ["the other true items of the same moment"] if plan.leave_out_group else []
    return f"Candidates: {of}" + (f", without {' and '.join(without)}." if without else ", met ones too.")


def _threshold(threshold: float | None) -> str:
    return "" if threshold is None else f"; a rating counts from {threshold:g}"


def verdict(results: Results) -> list[str]:
    """The outcome in one or two sentences."""
    best = max(results.models, key=lambda model: model.overall.ndcg or 0.0)
    line = best.overall
    if line.ndcg is None:
        return ["No event was evaluated."]
    said = [
        f"{best.name} leads with NDCG@{results.k} {line.ndcg:.4f} ({line.ndcg_low:.4f} to {line.ndcg_high:.4f}) and "
        f"HR@{results.k} {line.hr:.4f}."
    ]
    asked = [row for row in results.comparisons if row.margin is not None]
    if asked:
        reached = [row for row in asked if row.margin_reached]
        apart = sum(row.intervals_apart for row in reached)
        missed = [_gap(row) for row in asked if not row.margin_reached]
        said.append(
            f"{asked[0].model} is ahead by the margin asked for against {len(reached)} of {len(asked)} baselines, "
            f"against {apart} with intervals apart{'; not against ' + ', '.join(missed) if missed else ''}."
        )
    return said


def _gap(row: Comparison) -> str:
    ahead = "no figure" if row.relative is None else f"{100 * row.relative:+.1f} %".replace("-", "\u2212")
    return f"{row.other} ({ahead}, {100 * (row.margin or 0):.0f} % asked)"


def margin(row: Comparison) -> str:
    """Whether the margin that is asked for is reached; a dash where none is."""
    if row.margin is None:
        return "–"
    return f"{100 * row.margin:.0f} % {'reached' if row.margin_reached else 'missed'}"
