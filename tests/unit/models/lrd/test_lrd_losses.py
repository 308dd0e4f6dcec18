"""LRD's losses and the posterior against formulas written out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.lrd.decay import FourierDecay, log_gap
from models.lrd.posterior import RelationPosterior, log_posterior
from models.lrd.reconstruction import distmult, ranking_loss, reconstruction_loss

B, H, R, D = 4, 5, 6, 8


def some(*shape: int) -> torch.Tensor:
    return torch.randn(*shape)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(5)


def known_slots() -> torch.Tensor:
    return torch.tensor([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [1, 1, 0, 1, 0], [0, 0, 0, 1, 1]]).bool()


def test_the_posterior_is_the_softmax_of_a_linear_map_of_both_texts() -> None:
    posterior = RelationPosterior(10, D, R)
    past, candidates = some(B, H, 10), some(B, 3, 10)
    log_q = log_posterior(posterior.halves(past).past, posterior.halves(candidates).candidate)
    with torch.no_grad():
        joined = torch.cat((posterior.project(past[2, 4]), posterior.project(candidates[2, 1])))
        both = torch.cat((posterior.past.weight, posterior.candidate.weight), dim=1)
        expected = torch.softmax(both @ joined + posterior.candidate.bias, 0)
    torch.testing.assert_close(log_q[2, 1, 4].exp(), expected)
    torch.testing.assert_close(log_q.exp().sum(-1), torch.ones(B, 3, H))


def test_an_item_without_text_leaves_the_relation_to_the_other_item() -> None:
    posterior = RelationPosterior(10, D, R)
    with torch.no_grad():
        posterior.candidate.bias.copy_(some(R))
    nothing, text = torch.zeros(1, 1, 10), some(1, 1, 10)
    unknown = log_posterior(posterior.halves(nothing).past, posterior.halves(nothing).candidate)
    torch.testing.assert_close(unknown[0, 0, 0].exp(), torch.softmax(posterior.candidate.bias, 0))
    one = log_posterior(posterior.halves(nothing).past, posterior.halves(text).candidate)
    torch.testing.assert_close(one[0, 0, 0].exp(), torch.softmax(posterior.halves(text).candidate[0, 0], 0))


def score(past: torch.Tensor, relation: torch.Tensor, candidate: torch.Tensor) -> torch.Tensor:
    return (past * relation) @ candidate + past @ relation + candidate @ relation


def test_distmult_scores_each_pair_by_each_relation() -> None:
    past, relation, candidate = some(B, 1, D), some(R, D), some(B, H, D)
    found = distmult(past, relation, candidate)
    assert found.shape == (B, H, R)
    torch.testing.assert_close(found[2, 3, 4], score(past[2, 0], relation[4], candidate[2, 3]))


@pytest.mark.parametrize("leave_out", [0, 1])
@pytest.mark.parametrize(("entropy", "sign"), [("added", 1.0), ("subtracted", -1.0), ("off", 0.0)])
def test_the_reconstruction_loss_is_the_one_written_out_in_loops(leave_out: int, entropy: str, sign: float) -> None:
    log_q = torch.log_softmax(some(B, H, R), -1)
    past, drawn, candidate, relation, known = some(B, H, D), some(B, H, D), some(B, D), some(R, D), known_slots()
    found = reconstruction_loss(
        log_q,
        past,
        drawn,
        candidate,
        relation,
        known,
        leave_out=leave_out,
        alpha=0.3,
        entropy=entropy,  # type: ignore[arg-type]
    )
    logs, spreads = [], []
    for b in range(B):
        slots = [h for h in range(H) if known[b, h]]
        for r in range(leave_out, R):
            believed = 0.0
            for h in slots:
                w = log_q[b, h, r].exp() * relation[r]
                apart = score(past[b, h], w, candidate[b]) - score(drawn[b, h], w, candidate[b])
                believed += torch.sigmoid(apart).item() / len(slots)
            logs.append(math.log(believed))
        spreads += [(-log_q[b, h, r].exp() * log_q[b, h, r]).item() for h in slots for r in range(R)]
    assert found.item() == pytest.approx(-np.mean(logs) + sign * 0.3 * np.mean(spreads), rel=1e-5)


def test_what_stands_in_an_empty_slot_changes_no_loss() -> None:
    log_q = torch.log_softmax(some(B, H, R), -1)
    past, drawn, candidate, relation, known = some(B, H, D), some(B, H, D), some(B, D), some(R, D), known_slots()
    before = reconstruction_loss(log_q, past, drawn, candidate, relation, known)
    past[~known], drawn[~known] = 7.0, -7.0
    log_q = torch.where(known.unsqueeze(2), log_q, torch.log_softmax(some(B, H, R), -1))
    torch.testing.assert_close(reconstruction_loss(log_q, past, drawn, candidate, relation, known), before)


def test_added_entropy_sharpens_the_posterior_and_subtracted_flattens_it() -> None:
    def entropy_after(how: str) -> float:
        torch.manual_seed(1)
        logits = some(B, H, R).requires_grad_()
        optimiser = torch.optim.SGD([logits], 5.0)
        fixed = [some(B, H, D), some(B, H, D), some(B, D), 0.01 * some(R, D), known_slots()]
        for _ in range(60):
            optimiser.zero_grad()
            torch.autograd.backward(
                reconstruction_loss(torch.log_softmax(logits, -1), *fixed, alpha=1.0, entropy=how)  # type: ignore[arg-type]
            )
            optimiser.step()
        q = torch.softmax(logits, -1)[known_slots()]
        return float(-(q * q.log()).sum(-1).mean())

    assert entropy_after("added") < entropy_after("off") - 0.05
    assert entropy_after("subtracted") > entropy_after("off") + 0.05


def test_with_one_draw_the_ranking_loss_is_bpr_and_with_more_the_worst_counts_most() -> None:
    scores = torch.tensor([[0.4, -0.2]])
    assert ranking_loss(scores).item() == pytest.approx(math.log(1 + math.exp(-0.6)))
    several = torch.tensor([[0.4, -0.2, 1.5]])
    weight = torch.softmax(several[0, 1:], 0)
    expected = -math.log(sum(float(w / (1 + torch.exp(s - 0.4))) for w, s in zip(weight, several[0, 1:], strict=True)))
    assert ranking_loss(several).item() == pytest.approx(expected)


def test_a_decay_is_the_clipped_half_mean_over_frequencies_and_their_mirror_images() -> None:
    decay = FourierDecay(3, 8)
    minutes = torch.tensor([0.0, 0.5, 3.0, 1440.0, 1e6])
    real, imaginary = decay.coefficient.detach().view(2, 5, 3).double()
    x = np.maximum(0, np.log2(minutes.double().numpy() + 1e-6))
    coefficients = np.concatenate([real + 1j * imaginary, np.conj(real + 1j * imaginary)])
    frequencies = np.linspace(0, 1, 5) / 2
    angles = np.exp(2j * np.pi * np.concatenate([frequencies, -frequencies])[:, None] * x)
    expected = np.clip((coefficients[:, None, :] * angles[:, :, None]).real.mean(0) / 2, 0, 1)
    np.testing.assert_allclose(decay(minutes).detach().numpy(), expected, atol=1e-4)


def test_every_decay_begins_around_a_half_so_that_none_begins_clipped() -> None:
    at = FourierDecay(20, 64)(2.0 ** torch.linspace(0, 25, 60)).detach()
    assert 0.4 < at.mean() < 0.6
    assert ((at > 0) & (at < 1)).float().mean() > 0.99


def test_a_decay_can_begin_as_a_histogram_of_gaps() -> None:
    decay = FourierDecay(2, 8)
    kept = decay.coefficient[:, 1].clone()
    decay.start_from(torch.tensor([[0, 4, 2, 0, 0, 1, 0, 0], [0] * 8]).float())
    at = decay(2.0 ** torch.arange(8).float())[:, 0].detach()
    np.testing.assert_allclose(at, [0, 1, 0.5, 0, 0, 0.25, 0, 0], atol=1e-4)
    torch.testing.assert_close(decay.coefficient[:, 1], kept)
    with pytest.raises(ValueError, match=r"\[relations, n_dft\] = \[2, 8\]"):
        decay.start_from(torch.zeros(2, 7))


def test_less_than_a_minute_ago_is_now() -> None:
    assert log_gap(torch.tensor([0.0, 0.3, 1.0, 8.0])).tolist() == pytest.approx([0, 0, 0, 3], abs=1e-4)
