"""What the parts of DynLLM compute, by hand, and that each of them is learned."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from dyngraph.profiles import FACETS
from models.dynllm import DynLLMConfig
from models.dynllm.capture import Asked
from models.dynllm.network import DynLLMNetwork

CONFIG = DynLLMConfig(temporal_dim=6, text_dim=10, dim=8, kept=5)


def asked(n: int = 5, config: DynLLMConfig = CONFIG, seed: int = 0) -> Asked:
    generator = torch.Generator().manual_seed(seed)

    def some(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    valid = torch.tensor([[False, False, False], [False, False, True], [True, True, True], [False, True, True]])
    valid = valid[torch.arange(n) % 4]
    facets = (some(n, 3, len(FACETS), config.text_dim) * valid.view(n, 3, 1, 1)).half()
    away, age = some(n).abs(), some(n, 2).abs() * valid.any(1, keepdim=True)
    return Asked(torch.arange(n), some(n, config.temporal_dim), away, facets, valid, age)


def network(**changes: object) -> DynLLMNetwork:
    torch.manual_seed(3)
    return DynLLMNetwork(msgspec.structs.replace(CONFIG, **changes))


def test_every_part_receives_a_gradient() -> None:
    net, question = network(), asked(40)
    texts = torch.cat((torch.randn(6, 10), torch.zeros(1, 10)))
    met = torch.tensor([0, 2, 5, 9, 20, 40, 70])
    loss = net.scores(net.users(question), torch.randn(7, 6), net.statics(texts), met).logsumexp(1).sum()
    loss.backward()
    untouched = [name for name, value in net.named_parameters() if value.grad is None or not value.grad.abs().sum()]
    assert not untouched


def test_memory_is_the_recurrence_over_versions_that_say_something() -> None:
    net, question = network(), asked(3)
    memory, told = net.memory(question)
    assert told.tolist() == [[False] * 4, [True] * 4, [True] * 4]
    torch.testing.assert_close(memory[0], net.null.detach())
    with torch.no_grad():
        expected = None
        for version in range(3):
            p = torch.stack([question.facets[2, version, f].float() @ net.facet[f] for f in range(4)])
            p = (p - p.mean(1, keepdim=True)) / torch.sqrt(p.var(1, correction=0, keepdim=True) + 1e-5)
            expected = p if expected is None else expected + torch.sigmoid(net.gate) * (p - expected)
    assert expected is not None
    torch.testing.assert_close(memory[2], expected, rtol=1e-4, atol=1e-4)


def test_a_facet_without_phrases_keeps_the_memory_of_the_version_before() -> None:
    net, question = network(), asked(3)
    silent = question.facets.clone()
    silent[2, 2, 1] = 0
    shorter = question.facets[2:, :2]
    memory, _ = net.memory(question._replace(facets=silent))
    before, _ = net.memory(
        Asked(*(column[2:] for column in question))._replace(facets=shorter, valid=question.valid[2:, :2])
    )
    torch.testing.assert_close(memory[2, 1], before[0, 1])
    assert not torch.equal(memory[2, 0], before[0, 0])


def test_distillation_keeps_the_k_dimensions_with_the_highest_scores() -> None:
    net = network()
    memory = torch.randn(2, 4, 8)
    placed = net._distilled(memory)
    assert ((placed != 0).sum(2) == 5).all()
    p = (net.scorer / net.scorer.norm()).detach().numpy()
    scores = memory[1, 2].numpy() * p
    best = np.argsort(-scores)[:5]
    told = memory[1, 2].numpy() * np.tanh(scores)
    np.testing.assert_allclose(placed[1, 2].detach().numpy()[best], told[best], rtol=1e-5)
    ordered = network(distillation="ordered")
    assert ordered.config.distilled_dim == 5
    np.testing.assert_allclose(ordered._distilled(memory)[1, 2].detach().numpy(), told[best], rtol=1e-5)
    assert network(distillation="off")._distilled(memory) is memory


def test_a_facet_that_is_not_read_or_is_dropped_changes_nothing_any_more() -> None:
    question, net = asked(4), network(facets=("interests", "categories", "brands"))
    other = question.facets.clone()
    other[:, :, 0] = 7
    torch.testing.assert_close(net.users(question), net.users(question._replace(facets=other)))
    whole = network()
    assert not torch.allclose(whole.users(question)[2], whole.users(question._replace(facets=other))[2])
    torch.testing.assert_close(
        whole.users(question, dropped=0), whole.users(question._replace(facets=other), dropped=0)
    )


def test_who_has_no_profile_is_asked_with_the_null_facets() -> None:
    net, question = network(), asked(1)
    before = net.users(question)
    with torch.no_grad():
        net.null += 1
    assert not torch.allclose(before, net.users(question))
    known = Asked(*(column[2:3] for column in asked(4)))
    before = net.users(known)
    with torch.no_grad():
        net.null += 1
    torch.testing.assert_close(before, net.users(known))


def test_the_time_since_the_last_event_matters_only_with_the_projection() -> None:
    question = asked(4)
    later = question._replace(away=question.away + 3)
    assert not torch.allclose(network().users(question), network().users(later))
    without = network(time_projection=False)
    torch.testing.assert_close(without.users(question), without.users(later))


def test_one_question_is_answered_alike_in_any_company() -> None:
    net, many = network(), asked(9)
    alone = Asked(*(column[4:5] for column in many))
    torch.testing.assert_close(net.users(many)[4:5], net.users(alone), rtol=1e-5, atol=1e-5)


def test_texts_match_before_anything_is_learned() -> None:
    torch.manual_seed(0)
    net = DynLLMNetwork(DynLLMConfig(temporal_dim=6, text_dim=48, dim=32, kept=20))
    text = torch.nn.functional.normalize(torch.randn(20, 48), dim=1)
    facets = text[:1].half().repeat(4, 1).view(1, 1, 4, 48)
    question = Asked(
        torch.ones(1), torch.zeros(1, 6), torch.zeros(1), facets, torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 2)
    )
    scores = net.scores(net.users(question), torch.zeros(20, 6), net.statics(text), torch.arange(20))[0]
    assert int(scores.argmax()) == 0


def test_items_without_text_share_a_learned_half() -> None:
    net = network()
    halves = net.statics(torch.stack((torch.zeros(10), torch.ones(10), torch.zeros(10))))
    torch.testing.assert_close(halves[0], net.no_text.detach())
    torch.testing.assert_close(halves[0], halves[2])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fusion": "sum"}, "fusion='sum' is unknown"),
        ({"facets": ("mood",)}, "facets=mood are unknown"),
        ({"kept": 9}, "keeps 1 to dim=8"),
        ({"heads": 3}, "heads=3"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        msgspec.structs.replace(CONFIG, **changes)


def test_how_often_an_item_was_met_sets_the_weights_of_its_halves() -> None:
    net = network()
    assert net.familiarity(torch.tensor([0, 1, 2, 3, 4, 1023, 1024, 10**9])).tolist() == [0, 0, 1, 1, 2, 9, 10, 10]
    user, temporal, static = torch.randn(1, 14), torch.randn(2, 6), torch.randn(2, 8)
    with torch.no_grad():
        net.sharpness[0], net.sharpness[3], net.lean[3] = torch.tensor([0.5, 2.0]), torch.tensor([3.0, 0.1]), 0.7
    found = net.scores(user, temporal, static, torch.tensor([1, 9]))[0]
    time, text = user[0, :6] @ temporal.T / 6**0.5, user[0, 6:] @ static.T / 8**0.5
    torch.testing.assert_close(found, torch.stack((0.5 * time[0] + 2 * text[0], 3 * time[1] + 0.1 * text[1] + 0.7)))
    alike = network(familiarity=False)
    assert not alike.familiarity(torch.tensor([0, 7, 90])).any()
