"""What RCF and KDA compute from a past, against loops, and that all of it is learned."""

from __future__ import annotations

import msgspec
import pytest
import torch

from models.lrd.config import LrdConfig
from models.lrd.contexts import ContextMixing, relation_contexts
from models.lrd.network import Candidates, Ends, LrdNetwork, Past
from models.lrd.posterior import log_posterior
from models.lrd.relations import COMPLEMENT, Relations

CONFIG = LrdConfig(latent=2, dim=8, text_dim=10, heads=2, layers=2, history=4, n_dft=8)
RELATIONS = Relations((COMPLEMENT,), ("category", "brand"), latent=2)
B, H, C, A, D = 3, 4, 5, 2, 8


def some(*shape: int) -> torch.Tensor:
    return torch.randn(*shape)


def network(**changes: object) -> LrdNetwork:
    torch.manual_seed(3)
    config = msgspec.structs.replace(CONFIG, **changes)
    return LrdNetwork(config, Relations((COMPLEMENT,), ("category", "brand"), latent=config.latent))


def asked(net: LrdNetwork) -> tuple[torch.Tensor, Past, Candidates]:
    torch.manual_seed(8)
    known = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1]]).bool()
    minutes = 10 ** (5 * torch.rand(B, H))
    past, candidates = Past(some(B, H, D), known, minutes), Candidates(some(B, C, D), some(B, C, A, D), some(B, C))
    texts = some(B, H, 10), some(B, C, 10)
    if net.posterior is not None:
        past = past._replace(halves=net.posterior.halves(texts[0]).past)
        candidates = candidates._replace(halves=net.posterior.halves(texts[1]).candidate)
    return some(B, D), past, candidates


def by_loops(net: LrdNetwork, user: torch.Tensor, past: Past, of: Candidates, b: int, c: int) -> torch.Tensor:
    """One score, relation by relation and event by event."""
    contexts = []
    q = None
    if net.config.posterior_at_inference:
        assert past.halves is not None
        assert of.halves is not None
        q = torch.softmax(past.halves[b] + of.halves[b, c], -1)
    for r in range(len(RELATIONS)):
        relation = net.relation[r]
        if r in (2, 3):
            relation = relation + of.values[b, c, r - 2]
        slots = [h for h in range(H) if past.known[b, h]]
        logits = torch.stack([(past.items[b, h] * relation * of.items[b, c]).sum() for h in slots])
        weight = torch.softmax(logits, 0)
        if net.decay is not None:
            weight = weight * net.decay(past.minutes[b, slots])[:, r]
        if q is not None:
            weight = weight * q[slots, r] * len(RELATIONS)
        contexts.append((weight[:, None] * past.items[b, slots]).sum(0))
    mixed = net.mixing(torch.stack(contexts)[None])[0]
    return ((user[b] + mixed) * of.items[b, c]).sum() + of.bias[b, c]


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("recommender", ["rcf", "kda"])
def test_a_score_is_the_one_written_out_in_loops(recommender: str, gated: bool) -> None:
    net = network(recommender=recommender, posterior_at_inference=gated)
    user, past, candidates = asked(net)
    scores = net.scores(user, past, candidates)
    for b, c in ((0, 0), (1, 3), (2, 4)):
        torch.testing.assert_close(scores[b, c], by_loops(net, user, past, candidates, b, c), rtol=1e-4, atol=1e-4)


def test_passes_of_self_attention_share_their_weights_and_keep_the_layer_norm_last() -> None:
    mixing = ContextMixing(D, 2, 1)
    x = some(2, 6, D)
    query, key, value = mixing.project(x).chunk(3, dim=2)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        weight = torch.softmax(query[..., part] @ key[..., part].transpose(1, 2) / 2, dim=2)
        heads.append(weight @ value[..., part])
    once = mixing.norm(x + mixing.narrow(torch.relu(mixing.widen(torch.cat(heads, 2)))))
    torch.testing.assert_close(mixing(x), once.mean(1), rtol=1e-4, atol=1e-5)
    twice = ContextMixing(D, 2, 2)
    twice.load_state_dict(mixing.state_dict())
    torch.testing.assert_close(twice(x), mixing(once), rtol=1e-4, atol=1e-5)


def test_a_candidates_score_does_not_depend_on_the_others_nor_on_what_fills_empty_slots() -> None:
    net = network(posterior_at_inference=True)
    user, past, candidates = asked(net)
    scores = net.scores(user, past, candidates)
    alone = Candidates(*(column[:, 3:4] for column in candidates))  # type: ignore[index]
    torch.testing.assert_close(net.scores(user, past, alone)[:, 0], scores[:, 3])
    filled = past.items.clone(), past.minutes.clone()
    filled[0][~past.known], filled[1][~past.known] = 9.0, 77.0
    torch.testing.assert_close(net.scores(user, past._replace(items=filled[0], minutes=filled[1]), candidates), scores)


def test_without_a_past_a_score_is_finite_and_contexts_are_zero() -> None:
    net = network()
    user, past, candidates = asked(net)
    nobody = torch.zeros(B, H, dtype=torch.bool)
    assert not relation_contexts(past.items, nobody, some(B, C, 6, D)).any()
    assert net.scores(user, past._replace(known=nobody), candidates).isfinite().all()


def test_time_matters_to_kda_and_not_to_rcf() -> None:
    for recommender, matters in (("kda", True), ("rcf", False)):
        net = network(recommender=recommender)
        user, past, candidates = asked(net)
        later = net.scores(user, past._replace(minutes=past.minutes * 50), candidates)
        assert torch.equal(later, net.scores(user, past, candidates)) != matters


def losses(net: LrdNetwork) -> list[torch.Tensor]:
    user, past, candidates = asked(net)
    parts = [-torch.log_softmax(net.scores(user, past, candidates), 1)[:, 0].mean()]
    if net.posterior is not None and net.config.lambda_:
        assert candidates.halves is not None
        parts.append(net.reconstruction_loss(past, some(B, H, D), candidates.items[:, 0], candidates.halves[:, 0]))
    return parts


def untouched(net: LrdNetwork, loss: torch.Tensor) -> set[str]:
    net.zero_grad()
    torch.autograd.backward(loss)
    return {name for name, value in net.named_parameters() if value.grad is None or not value.grad.abs().sum()}


@pytest.mark.parametrize("recommender", ["rcf", "kda"])
def test_every_part_receives_a_gradient(recommender: str) -> None:
    net = network(recommender=recommender)
    assert not untouched(net, torch.stack(losses(net)).sum())
    assert not net.relation.grad.abs().sum(1).eq(0).any()  # type: ignore[union-attr]


def test_every_relation_has_a_decay_that_is_learned() -> None:
    net = network()
    untouched(net, losses(net)[0])
    assert net.decay is not None
    assert net.decay.coefficient.grad is not None
    assert net.decay.coefficient.grad.abs().sum(0).all()


def test_the_posterior_learns_from_reconstruction_alone_unless_it_weighs_the_attention() -> None:
    of_posterior = {
        f"posterior.{name}" for name in ("project.weight", "past.weight", "candidate.weight", "candidate.bias")
    }
    plain, gated = network(), network(posterior_at_inference=True)
    assert untouched(plain, losses(plain)[0]) == of_posterior
    assert not untouched(gated, losses(gated)[0])
    assert not of_posterior & untouched(plain, losses(plain)[1])


def test_without_reconstruction_there_is_no_posterior_to_pay_for() -> None:
    assert network(lambda_=0.0).posterior is None
    assert network(lambda_=0.0, posterior_at_inference=True).posterior is not None


def test_a_posterior_that_knows_nothing_changes_no_score() -> None:
    gated, plain = network(posterior_at_inference=True), network(lambda_=0.0)
    plain.load_state_dict(gated.state_dict(), strict=False)
    user, past, candidates = asked(gated)
    flat = past._replace(halves=torch.zeros(B, H, 6)), candidates._replace(halves=torch.zeros(B, C, 6))
    assert past.halves is not None
    assert candidates.halves is not None
    torch.testing.assert_close(log_posterior(past.halves, candidates.halves).exp().sum(-1), torch.ones(B, C, H))
    torch.testing.assert_close(gated.scores(user, *flat), plain.scores(user, *flat))


def test_true_triplets_are_told_from_corrupted_ones() -> None:
    net = network()
    true, wrong = Ends(some(B, D), some(B, D)), Ends(some(B, D), some(B, D))
    relation, value = torch.tensor([2, 1, 5]), some(B, D)
    between = net.relation[relation] + value
    apart = (true.head * between * true.tail).sum(1) - (wrong.head * between * wrong.tail).sum(1)
    expected = torch.log1p(torch.exp(-apart)).mean()
    torch.testing.assert_close(net.triplet_loss(true, wrong, relation, value), expected)


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ValueError, match="2 latent ones, the settings 3"):
        LrdNetwork(msgspec.structs.replace(CONFIG, latent=3), RELATIONS)
    net = network(posterior_at_inference=True)
    user, past, candidates = asked(net)
    with pytest.raises(ValueError, match="hand in the halves"):
        net.scores(user, past._replace(halves=None), candidates)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"recommender": "sasrec"}, "use one of: rcf, kda"),
        ({"entropy": "both"}, "added, subtracted, off"),
        ({"heads": 3}, "cannot be split"),
        ({"latent": -1}, "latent=-1: use 0 or more"),
        ({"history": 0}, "history=0: use 1 or more"),
        ({"n_dft": 7}, "even number"),
        ({"lambda_": -1.0}, "weights are 0 or more"),
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        LrdConfig(**wrong)  # type: ignore[arg-type]


def test_relations_are_named_once_each() -> None:
    assert RELATIONS.names == ("together", "complement", "category", "brand", "latent 1", "latent 2")
    with pytest.raises(ValueError, match="not distinct"):
        Relations((COMPLEMENT,), (COMPLEMENT,))
    with pytest.raises(ValueError, match="latent=-2"):
        Relations(latent=-2)
