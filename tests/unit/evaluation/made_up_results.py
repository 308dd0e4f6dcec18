"""Results that nobody measured, with every part filled, for tests of what is made from results."""

from __future__ import annotations

import numpy as np

from evaluation.experiments.results import Comparison, Curve, DataFacts, Line, ModelResult, Results, Timing

DAY_MS = 86_400_000


def line(value: float, events: int = 1_000) -> Line:
    return Line(events, events // 3, 2 * value, value, value - 0.004, value + 0.004, 0.9 * value)


def model(name: str, value: float, seed: int, points: int = 60) -> ModelResult:
    noise = np.random.default_rng(seed).normal(0, 0.002, points).cumsum()
    return ModelResult(
        name,
        {"half_life": 7.0, "seed": seed, "quick": True},
        {
            "all": line(value),
            "repeat": line(1.5 * value, 400),
            "first-time": line(0.6 * value, 600),
            "cold users": line(0.3 * value, 100),
            "warm users": line(1.1 * value, 900),
            "cold items": line(0.2 * value, 150),
            "warm items": line(1.2 * value, 850),
        },
        0.4 + value,
        7.25,
        0.81,
        Curve(
            [20 * at for at in range(1, points + 1)],
            [1_300_000_000_000 + at * DAY_MS for at in range(points)],
            np.clip(value + noise, 0, 1).tolist(),
            np.linspace(0.1, 0.4 + value, points).tolist(),
        ),
    )


def results(*names: str, title: str = "Evaluation on a made-up log, prequential") -> Results:
    models = [model(name, 0.05 - 0.0031 * place, place) for place, name in enumerate(names)]
    first = models[0].overall.ndcg or 0.0
    comparisons = []
    for other in models[1:]:
        value = other.overall.ndcg or 0.0
        relative = (first - value) / value
        comparisons.append(
            Comparison(
                names[0],
                other.name,
                first - value,
                first - value - 0.001,
                first - value + 0.001,
                relative,
                0.0004,
                0.012,
                relative > 0.1,
                0.1,
                relative > 0.1,
            )
        )
    return Results(
        title=title,
        data=DataFacts(
            "made-up", "0123456789abcdef", 2_000, 333, 77, 1_300_000_000_000, 1_310_000_000_000, 1_000,
            {"without a user": 12}, ["12 repeated rows are kept"],
        ),
        protocol={"protocol": "prequential", "k": 10, "seed": 0, "window": 500, "cold_item_events": 5},
        models=models,
        comparisons=comparisons,
        notes=["Prequential: made up."],
        command="evergraph evaluate made-up",
        versions={"python": "3.11", "evergraph": "0.1.0"},
        machine={"cores": "2"},
        timings={model.name: Timing(12.3 + place, 4_567.0 + place) for place, model in enumerate(models)},
    )  # fmt: skip
