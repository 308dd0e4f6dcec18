"""The peer of the benchmarks is PyG's model used rightly, and its streams do not depend on how they are cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmark_logs import BENCHMARKS, small_log

from evaluation.link_prediction import Split


@pytest.fixture(autouse=True)
def _benchmarks_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_the_last_message_of_each_node_is_kept_and_nodes_without_one_get_zeros() -> None:
    from pyg_tgn import LastMessage

    generator = torch.Generator().manual_seed(0)
    for messages in (1, 5, 40):
        index = torch.randint(0, 7, (messages,), generator=generator)
        t = torch.randperm(100, generator=generator)[:messages]
        msg = torch.randn(messages, 3, generator=generator)
        expected = torch.zeros(10, 3)
        for place in t.argsort().tolist():
            expected[index[place]] = msg[place]
        assert torch.equal(LastMessage()(msg, index, t, 10), expected)


@pytest.mark.parametrize("features", [0, 4])
def test_training_embedding_and_ranking_take_the_same_stream(features: int) -> None:
    from pyg_tgn import PygTGN

    log = small_log(features=features)
    model = PygTGN(20, 10, features, len(log), seed=1)
    assert model.fit(log, Split(200, 250, 300), epochs=2, batch=50) == 2
    edges = model.prepare(log.part(200, 250), log.items[200:250])
    scores = model.scores(log.users[200:250], log.ts[200:250], log.seq[200:250])
    assert scores.shape == (50, 10)
    users, items, others = model.update_embed(edges)
    with torch.no_grad():
        pairs = model.pairs(users, items).squeeze(-1).numpy()
    np.testing.assert_allclose(scores[np.arange(50), log.items[200:250]], pairs, atol=1e-4)
    assert torch.equal(items, others)


def test_with_patience_the_best_epoch_is_kept_with_its_memory() -> None:
    from pyg_tgn import PygTGN

    log = small_log()
    model = PygTGN(20, 10, 0, len(log), seed=1)
    kept = model.fit(log, Split(200, 250, 300), epochs=3, batch=50, patience=1)
    assert 1 <= kept <= 3
    again = PygTGN(20, 10, 0, len(log), seed=1)
    again.fit(log, Split(200, 250, 300), epochs=kept, batch=50)
    asked = log.users[200:250], log.ts[200:250], log.seq[200:250]
    # Validation in between draws no random number, so that the shorter training is the same up to there.
    np.testing.assert_array_equal(model.scores(*asked), again.scores(*asked))


def test_an_event_beyond_the_room_that_was_reserved_is_named() -> None:
    from pyg_tgn import PygTGN

    log = small_log()
    with pytest.raises(ValueError, match="event 299 is beyond the 250 events"):
        PygTGN(20, 10, 0, 250).prepare(log.part(200, 300), log.items[200:300])


def test_a_synthetic_stream_is_the_same_however_it_is_cut() -> None:
    from streams_of_edges import SyntheticStream

    whole = SyntheticStream(width=3, seed=5).part(900, 2_100)
    stream = SyntheticStream(width=3, seed=5)
    parts = [stream.part(900, 1_000), stream.part(1_000, 1_001), stream.part(1_001, 2_100)]
    for name in ("users", "items", "ts", "features"):
        np.testing.assert_array_equal(getattr(whole, name), np.concatenate([getattr(part, name) for part in parts]))
    assert whole.features.shape == (1_200, 3)
    assert (np.diff(whole.ts) >= 0).all()
    assert not np.array_equal(whole.users, SyntheticStream(width=3, seed=6).part(900, 2_100).users)


def test_a_stream_goes_round_with_later_times_and_higher_numbers() -> None:
    from streams_of_edges import Round

    log = small_log(100, features=2)
    stream = Round(log)
    part = stream.part(90, 310)
    assert part.seq.tolist() == list(range(90, 310))
    assert (np.diff(part.ts) >= 0).all()
    np.testing.assert_array_equal(part.users[10:110], log.users)
    np.testing.assert_array_equal(part.features, log.features[np.arange(90, 310) % 100])
    assert stream.part(100, 101).ts[0] > log.ts[-1]
