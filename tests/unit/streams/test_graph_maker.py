"""Who makes reasoning graphs in an LLM worker: figures that last, what was spent, and what users said of themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from unit.llm_workers.reasoning.reasoning_model import Model
from unit.llm_workers.reasoning.reasoning_requests import SHOP, request

from dyngraph.reasoning import ReasoningGraph
from llm_workers.cache import AnswerCache
from llm_workers.config import LlmConfig
from llm_workers.producers.statistical import StatisticalProfiles
from llm_workers.producers.terms import Terms
from llm_workers.protocols import Answer, LlmError, Prompt, Spent
from streams.artefact_messages import Cost, ItemVector, LlmJob
from streams.artefact_messages import ReasoningGraph as Published
from streams.codec import decode
from streams.llm.graphs import GraphMaker
from streams.llm.known import Known
from streams.llm.outbox import Outbox
from streams.llm.parts import Parts
from streams.llm.users import said_in
from streams.messages import Horizon
from streams.settings import Settings
from streams.worker.letters import Origin


class Failing(Model):
    """Fails at one kind of question."""

    def __init__(self, kind: str, retry: bool) -> None:
        super().__init__()
        self.kind, self.retry = kind, retry

    async def answer(self, prompt: Prompt) -> Answer:
        if prompt.kind == self.kind:
            raise LlmError("unauthorised", "no", retry=self.retry)
        return await super().answer(prompt)


class Flat:
    """A text encoder that tells nothing apart."""

    model_id, width = "flat", 4

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.zeros((len(texts), self.width), np.float32)


def vector(numbers: NDArray[np.float64], model_id: str = Flat.model_id) -> ItemVector:
    return ItemVector(item_id="x", model_id=model_id, text_hash="ab", vector=numbers.astype("<f2").tobytes())


def maker(model: Model | None = None) -> GraphMaker:
    statistical = StatisticalProfiles()
    reasons: Any = ("endpoint", model) if model is not None else None
    return GraphMaker(Parts(statistical, statistical, AnswerCache(None, 10**7), None, reasons=reasons), SHOP, 10.0)


def made_by(made: GraphMaker, *item_ids: str, **more: Any) -> ReasoningGraph:
    return asyncio.run(made.make(request(*item_ids, **more)))


# --- figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", [False, True])
def test_figures_since_the_start_outlast_a_new_count_of_the_catalogue(language: bool) -> None:
    made = maker(Model() if language else None)
    made_by(made, "red", "blue")
    before = made.figures()
    assert (before["graphs"], before["steps"]) == (1, 2)
    made.use_terms(Terms.of(SHOP.values()))
    assert made.figures() == before
    made_by(made, "shampoo", user_id="berta")
    assert made.figures()["graphs"] == 2


def test_the_catalogue_counted_anew_is_reasoned_with() -> None:
    made = maker()
    made.use_terms(Terms(items=10, brands={"other": 10}))
    assert made_by(made, "red", "green", neighbours=()).steps[1].came_from == -1, "a category that nobody bears"
    made.use_terms(Terms.of(SHOP.values()))
    assert made_by(made, "red", "green", neighbours=()).steps[1].relation == "same category"


def test_counting_compares_items_by_their_texts_as_their_vectors_come() -> None:
    statistical = StatisticalProfiles()
    made = GraphMaker(Parts(statistical, statistical, AnswerCache(None, 10**7), Flat()), SHOP, 10.0)
    apart = made_by(made, "red", "shampoo", neighbours=())
    for item, place in (("red", 0), ("shampoo", 0), ("blue", 1)):
        made.put_vector(item, vector(np.eye(4)[place]))
    assert apart.steps[1].came_from == made_by(made, "red", "comb", neighbours=()).steps[1].came_from == -1
    assert made_by(made, "red", "shampoo", neighbours=()).steps[1].relation == "alike"
    made.put_vector("red", None)
    assert made_by(made, "red", "shampoo", neighbours=()).steps[1].came_from == -1


@pytest.mark.parametrize("foreign", [{"model_id": "another"}, {"numbers": np.ones(6)}, {"numbers": np.full(4, np.nan)}])
def test_vectors_that_this_encoder_did_not_make_compare_nothing(foreign: dict[str, Any]) -> None:
    statistical = StatisticalProfiles()
    made = GraphMaker(Parts(statistical, statistical, AnswerCache(None, 10**7), Flat()), SHOP, 10.0)
    for item in ("red", "shampoo"):
        made.put_vector(item, vector(np.eye(4)[0]))
    assert made_by(made, "red", "shampoo", neighbours=()).steps[1].relation == "alike"
    made.put_vector("red", vector(**{"numbers": np.eye(4)[0]} | foreign))
    assert made_by(made, "red", "shampoo", neighbours=()).steps[1].came_from == -1, "nor does the one before it"
    assert made.figures()["unfit_vectors"] == 1


def test_graphs_that_counting_made_up_for_are_counted_with_what_was_spent_in_vain() -> None:
    made = maker(Failing("verification", retry=False))
    for user in ("anna", "berta"):
        assert made_by(made, "red", "blue", user_id=user).producer == "statistical"
        made.use_terms(Terms.of(SHOP.values()))
    figures = made.figures()
    assert (figures["fell_back"], figures["graphs"]) == (2, 2)
    asked = figures["asked"] - figures["from_cache"]
    assert asked >= 1 and (figures["prompt_tokens"], figures["completion_tokens"]) == (10 * asked, 2 * asked)
    assert figures["usd"] == pytest.approx(0.01 * asked) and figures["seconds"] == pytest.approx(0.1 * asked)


def test_what_may_work_later_is_no_fall_back() -> None:
    made = maker(Failing("reasoning", retry=True))
    with pytest.raises(LlmError):
        made_by(made, "red", "blue")
    assert made.figures()["fell_back"] == 0


def test_who_counts_falls_back_to_nobody_and_spends_nothing() -> None:
    figures = maker().figures()
    assert {figures[name] for name in ("fell_back", "asked", "prompt_tokens", "usd")} == {0}


# --- cost -------------------------------------------------------------------------------------------------------------


def test_a_graph_costs_what_its_user_was_asked_about_however_often_it_was_tried() -> None:
    model = Failing("divergence", retry=True)
    made = maker(model)
    asked = request("red", "blue", neighbours=())
    with pytest.raises(LlmError):
        asyncio.run(made.make(asked))
    model.kind = ""
    asyncio.run(made.make(asked))
    spent = made.take(asked)
    assert spent.prompt_tokens == 10 * len(model.asked) > 30, "what the first attempt paid for, the second one used"
    assert made.take(asked) == Spent()
    asyncio.run(made.make(asked))
    assert made.take(asked) == Spent(), "every answer came from the cache"
    assert maker().take(asked) == Spent()


def test_the_message_of_a_graph_tells_its_cost() -> None:
    sent: list[tuple[str, bytes, bytes]] = []

    async def send(topic: str, key: bytes, value: bytes, *_: object) -> Any:
        sent.append((topic, key, value))
        return asyncio.sleep(0)

    settings = Settings()
    outbox = Outbox(SimpleNamespace(producer=SimpleNamespace(send=send)), settings, None)  # type: ignore[arg-type]
    job = LlmJob(
        job_id="j", kind="reasoning", entity_id="anna", entity="user", horizon=Horizon(ts_ms=2, offset=2), events=2
    )
    graph = made_by(maker(), "red", "blue")
    asyncio.run(outbox.graph(graph, job, "", Spent(100, 20, 1.23456, 0.5)))
    asyncio.run(outbox.graph(graph, job, "", Spent()))
    costs = [decode(Published, value, max_bytes=1 << 20).cost for _, _, value in sent]
    assert costs == [Cost(prompt_tokens=100, completion_tokens=20, seconds=1.235, usd=0.5), Cost()]
    assert [(topic, key) for topic, key, _ in sent] == [(settings.topic("reasoning-graphs"), b"anna")] * 2
    assert outbox.graphs == 2


# --- what users said of themselves ------------------------------------------------------------------------------------


def questions(model: Model) -> list[dict[str, Any]]:
    """Those for links, the newest last."""
    return [msgspec.json.decode(prompt.user) for prompt in model.asked if prompt.kind == "reasoning"]


def test_the_newest_record_of_a_user_is_told_to_the_model_until_they_are_erased() -> None:
    model = Model()
    made = maker(model)
    made.put_user("anna", (("skin", "oily"),))
    made.put_user("anna", (("skin", "dry"), ("likes", "matte")))
    made_by(made, "red", "blue", neighbours=())
    assert questions(model)[-1]["customer"] == {"skin": "dry", "likes": "matte"}
    made_by(made, "shampoo", "rinse", user_id="berta", neighbours=())
    assert "customer" not in questions(model)[-1]
    made.put_user("anna", None)
    made_by(made, "red", "green", neighbours=())
    assert "customer" not in questions(model)[-1]


def test_a_worker_hears_of_users_and_forgets_before_it_erases() -> None:
    heard: list[object] = []

    async def erase(user_id: str, offset: int) -> None:
        heard.append((user_id, offset))

    async def listen() -> None:
        nothing: Any = None
        known = Known(
            "127.0.0.1:9",
            Settings(),
            nothing,
            nothing,
            {},
            erase=erase,
            changed=nothing,
            user=lambda user_id, said: heard.append((user_id, said)),
            vector=nothing,
            relations=nothing,
        )
        values = (b'{"user_id":"anna","attributes":{"age":"30","skin":"dry"}}', b"no JSON", b'{"user_id":"anna"}', None)
        await known._take_users([Origin("users", 0, at, b"anna", value) for at, value in enumerate(values)])
        await known._take_users([Origin("users", 0, 4, None, None), Origin("users", 0, 5, None, values[0])])

    asyncio.run(listen())
    assert heard == [("anna", (("age", "30"),)), ("anna", ()), ("anna", None), ("anna", 3)]


def test_an_erasure_drops_the_bill_and_what_was_said() -> None:
    made = maker(Model())
    asked = request("red", "blue", neighbours=())
    made.put_user("anna", (("skin", "dry"),))
    asyncio.run(made.make(asked))
    made.put_user("anna", None)
    assert made.take(asked) == Spent()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            b'{"user_id":"anna","attributes":{"skin":"dry","age":30,"vip":true,"x":null,"y":"","name":"Maria Lopez"}}',
            (("skin", "dry"), ("age", "30"), ("vip", "true")),
        ),
        (b'{"user_id":"anna"}', ()),
        (
            b'{"user_id":"anna","attributes":{"mail":"anna@example.org","account":"17","customer id 9":"x"}}',
            (("account", "17"),),
        ),
        (b'{"user_id":"anna","attributes":{"skin":["dry"]}}', None),
        (b"no JSON", None),
    ],
)
def test_attributes_are_read_off_a_record_of_users(value: bytes, said: object) -> None:
    assert said_in(value, {"skin", "age", "vip", "x", "y", "mail", "account", "customer id 9"}) == said


def test_no_more_is_kept_of_a_user_than_a_question_has_room_for() -> None:
    attributes = {f"n{at}": "x" * 900 for at in range(64)}
    said = said_in(msgspec.json.encode({"user_id": "anna", "attributes": attributes}), attributes.keys())
    assert said is not None and len(said) == 8
    assert max(len(text) for pair in said for text in pair) <= 200


def test_nothing_that_names_a_person_is_told_unless_somebody_asks_for_it() -> None:
    told = Settings().llm.told
    assert {"age", "language"} < told
    assert not told & {"name", "first_name", "mail", "email", "phone", "street", "address", "zip", "birthday", "id", ""}
    assert LlmConfig(told_attributes=" skin ,,hair").told == {"skin", "hair"}
    assert not LlmConfig(told_attributes="").told
