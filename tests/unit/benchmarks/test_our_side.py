"""Our side of the benchmarks does what the peer's does: the same nodes, the same protocol."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from benchmark_logs import BENCHMARKS, small_log

from evaluation.link_prediction import Split


@pytest.fixture(autouse=True)
def _benchmarks_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.parametrize("features", [0, 4])
def test_source_destination_and_negative_are_embedded_before_the_batch(features: int) -> None:
    from ours_tgn import OurTGN

    log = small_log(features=features)
    model = OurTGN(20, 10, features)
    for start in (0, 50):
        model.train(model.prepare(log.part(start, start + 50), log.items[start : start + 50]))
    before = copy.deepcopy(model.graph.state())  # the state itself is views
    users, items = model.update_embed(model.prepare(log.part(100, 150), log.items[100:150]))
    assert users.shape == (50, 64)
    assert items.shape == (100, 64)
    # Destination and negative are the same items here, at the same times.
    assert torch.equal(items[:50], items[50:])
    assert model.graph.events == 150
    again = OurTGN(20, 10, features)
    again.encoder.load_state(model.encoder.state())
    again.graph.load_state(before)
    again.encoder.use_weights(again.graph, model.encoder.weights(), model.encoder.version)
    torch.testing.assert_close(again.update_embed(again.prepare(log.part(100, 150), log.items[100:150]))[0], users)


def test_with_patience_the_best_epoch_is_kept_with_its_graph() -> None:
    from ours_tgn import OurTGN

    log = small_log()
    model = OurTGN(20, 10, 0, loss="softmax")
    kept = model.fit(log, Split(200, 250, 300), epochs=3, batch=50, patience=1)
    assert 1 <= kept <= 3
    assert model.graph.events == 200
    again = OurTGN(20, 10, 0, loss="softmax")
    again.fit(log, Split(200, 250, 300), epochs=kept, batch=50)
    asked = log.users[200:250], log.ts[200:250], log.seq[200:250]
    np.testing.assert_allclose(model.scores(*asked), again.scores(*asked), atol=1e-5)
    assert model.scores(*asked).shape == (50, 10)


def test_an_engine_that_cannot_run_says_why() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here, so that asking for one is no error")
    from engine_process import Case, serve

    sent: list[object] = []

    class Pipe:
        send = sent.append

    serve(Pipe(), Case("pyg", "train", "synthetic-172", 200, "cuda", 1, 0, 1_000, BENCHMARKS))  # type: ignore[arg-type]
    assert len(sent) == 1
    assert "--device cuda: torch sees no CUDA device here; use --device cpu" in str(sent[0])
