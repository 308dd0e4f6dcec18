"""The endpoint client against a real server on localhost that misbehaves in every way we know of."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Coroutine
from typing import Any

import pytest
from aiohttp import web
from chat_server import GOOD, KEY, ChatServer, completion, cuts_off, dribbles, fails, says

from llm_workers.client.breaker import Breaker, BreakerOpen
from llm_workers.client.budget import TokenBudget
from llm_workers.client.endpoint import EndpointAnswerer
from llm_workers.client.requests import most_tokens
from llm_workers.config import LlmConfig
from llm_workers.protocols import LlmError, Prompt

ENVIRON = {"TEST_KEY": KEY}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 9}}, "required": ["a"]}
PROMPT = Prompt("profile", "profile.v1", "describe", '{"history":[]}', SCHEMA, 50, owner="user-4711")


def config(url: str, **other: Any) -> LlmConfig:
    settings = {"producer": "endpoint", "model": "m", "timeout_s": 5.0, "attempts": 3, "api_key_env": "TEST_KEY"}
    return LlmConfig(base_url=url, **(settings | other))


OPENED: list[EndpointAnswerer] = []


def answers(settings: LlmConfig, environ: dict[str, str] | None = None, **parts: Any) -> EndpointAnswerer:
    OPENED.append(EndpointAnswerer(settings, environ=environ or ENVIRON, **parts))
    return OPENED[-1]


def run(work: Coroutine[Any, Any, None]) -> None:
    async def to_the_end() -> None:
        try:
            await asyncio.wait_for(work, 60)
        finally:
            while OPENED:
                await OPENED.pop().close()

    asyncio.run(to_the_end())


async def fails_with(answerer: EndpointAnswerer) -> LlmError:
    with pytest.raises(LlmError) as raised:
        await answerer.answer(PROMPT)
    return raised.value


def test_an_answer_comes_with_its_price() -> None:
    async def work() -> None:
        async with ChatServer() as server:
            settings = config(server.url, usd_per_million_prompt=1.0, usd_per_million_completion=10.0)
            answerer = answers(settings)
            answer = await answerer.answer(PROMPT)
            await answerer.close()
        assert json.loads(answer.text) == GOOD
        assert (answer.model_id, answer.cached) == ("m", False)
        assert (answer.spent.prompt_tokens, answer.spent.completion_tokens) == (100, 20)
        assert answer.spent.usd == pytest.approx(100e-6 + 200e-6)
        figures = answerer.figures()["profile"]
        assert (figures["requests"], figures["answers"], figures["prompt_tokens"]) == (1, 1, 100)
        assert figures["usd"] == pytest.approx(300e-6)
        body = server.bodies[0]
        form = body["response_format"]["json_schema"]
        assert form["strict"] is True
        assert form["schema"]["properties"] == {"a": {"type": "string"}}, "strict servers refuse maxLength"
        assert "user-4711" not in json.dumps(body)

    run(work())


def test_a_server_that_is_down_is_left_alone_after_some_failures() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"

    async def work() -> None:
        answerer = answers(config(url, failures_to_open=4, open_s=60))
        first = await fails_with(answerer)
        assert (first.code, first.retry) == ("unavailable", True)
        second = await fails_with(answerer)
        assert answerer.breaker_state == "open"
        assert isinstance(second, BreakerOpen)
        started = time.monotonic()
        third = await fails_with(answerer)
        assert time.monotonic() - started < 0.05
        assert third.after_s is not None and 50 < third.after_s <= 60
        assert answerer.figures()["profile"]["requests"] == 4
        assert not answerer._transport.budget.counted(), "what never left costs nothing"

    run(work())


@pytest.mark.parametrize("behaviour", [says("late", after_s=5), dribbles], ids=["silent", "a byte now and then"])
def test_a_slow_server_is_given_up_on_time(behaviour: Any) -> None:
    async def work() -> None:
        async with ChatServer(behaviour) as server:
            budget = TokenBudget(100_000)
            settings = config(server.url, timeout_s=0.4, attempts=1)
            answerer = answers(settings, budget=budget)
            started = time.monotonic()
            error = await fails_with(answerer)
            assert time.monotonic() - started < 1.5
            assert (error.code, error.retry) == ("timeout", True)
            assert budget.counted() == most_tokens(PROMPT), "it may have worked, and billed, unseen"

    run(work())


def test_retry_after_is_honoured_by_everyone() -> None:
    async def work() -> None:
        async with ChatServer(fails(429, 1, {"Retry-After": "1"})) as server:
            answerer = answers(config(server.url, concurrency=1))
            await asyncio.gather(*(answerer.answer(PROMPT) for _ in range(3)))
            assert len(server.bodies) == 4
            assert server.at[1] - server.at[0] >= 1.0
            assert answerer.figures()["profile"]["failed_rate_limited"] == 1
            assert answerer.breaker_state == "closed"

    run(work())


def test_a_long_retry_after_is_passed_on_instead_of_waited_for() -> None:
    async def work() -> None:
        async with ChatServer(fails(429, 9, {"Retry-After": "3600"})) as server:
            answerer = answers(config(server.url))
            for _ in range(3):
                error = await fails_with(answerer)
                assert (error.code, error.retry) == ("rate_limited", True)
                assert error.after_s is not None and 3590 < error.after_s <= 3600
            assert len(server.bodies) == 1, "who is told to wait does not ask"

    run(work())


def test_server_errors_are_tried_again_with_growing_pauses() -> None:
    async def work() -> None:
        async with ChatServer(fails(503, 2)) as server:
            answer = await answers(config(server.url)).answer(PROMPT)
            assert json.loads(answer.text) == GOOD
            assert len(server.bodies) == 3

    run(work())


def test_attempts_are_bounded() -> None:
    async def work() -> None:
        async with ChatServer(fails(500, 99)) as server:
            error = await fails_with(answers(config(server.url)))
            assert (error.code, error.retry, len(server.bodies)) == ("unavailable", True, 3)

    run(work())


def test_a_broken_off_reply_is_tried_again_and_counted_as_paid() -> None:
    async def work() -> None:
        async with ChatServer(cuts_off) as server:
            budget = TokenBudget(100_000)
            answerer = answers(config(server.url, attempts=2), budget=budget)
            error = await fails_with(answerer)
            assert (error.code, len(server.bodies)) == ("unavailable", 2)
            assert budget.counted() == 2 * most_tokens(PROMPT)

    run(work())


@pytest.mark.parametrize(
    "reply",
    [
        web.Response(text="<html>welcome</html>", content_type="text/html"),
        web.Response(text="{not json", content_type="application/json"),
        web.json_response([]),
        web.json_response({"choices": []}),
        web.json_response({"choices": [{"message": {"content": None, "refusal": "no"}}]}),
        web.json_response({"choices": "x", "usage": "y"}),
    ],
    ids=["html", "no json", "a list", "no choice", "refusal", "other types"],
)
def test_what_is_no_reply_is_an_error_of_ours(reply: web.Response) -> None:
    async def behave(server: ChatServer, body: Any, request: web.Request) -> web.Response:
        return web.Response(body=reply.body, content_type=reply.content_type)

    async def work() -> None:
        async with ChatServer(behave) as server:
            error = await fails_with(answers(config(server.url, attempts=1)))
            assert error.code in ("invalid_answer", "unavailable")

    run(work())


def test_a_wrong_key_is_one_clear_error_and_no_storm(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with ChatServer() as server:
            wrong = {"TEST_KEY": "sk-wrong-9876543210"}
            answerer = answers(config(server.url, tokens_per_minute=100_000), environ=wrong)
            errors = await asyncio.gather(*(fails_with(answerer) for _ in range(20)))
            errors.append(await fails_with(answerer))
            assert {(error.code, error.retry) for error in errors} == {("unauthorised", False)}
            assert len({str(error) for error in errors}) == 1
            assert "api_key_env" in str(errors[0])
            assert len(server.bodies) == 1, "the first request goes alone, and no other follows"
            assert answerer.breaker_state == "broken"

    run(work())
    told = [record for record in caplog.records if record.levelno >= logging.ERROR and "key" in record.getMessage()]
    assert len(told) == 1


def test_without_a_budget_a_wrong_key_costs_no_more_than_the_requests_in_flight() -> None:
    async def work() -> None:
        async with ChatServer() as server:
            answerer = answers(config(server.url, concurrency=3), environ={"TEST_KEY": "sk-wrong"})
            await asyncio.gather(*(fails_with(answerer) for _ in range(50)))
            assert len(server.bodies) <= 3

    run(work())


def test_nothing_secret_or_personal_reaches_a_log_or_an_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "openai._base_client", "httpx", "httpx2", "httpcore", "httpcore2", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    prompt = Prompt("profile", "v", "system", '{"history":[{"title":"private thing"}]}', SCHEMA, 50, owner="user-4711")
    said: list[str] = []

    async def echoes_key(server: ChatServer, body: Any, request: web.Request) -> web.Response:
        return web.json_response({"error": {"message": f"got {request.headers['Authorization']}"}}, status=422)

    async def work() -> None:
        for behaviour in (None, fails(500, 1), fails(429, 1, {"Retry-After": "0"}), echoes_key):
            async with ChatServer(behaviour) as server:
                answerer = answers(config(server.url))
                said.append(repr(answerer) + repr(answerer._transport) + repr(config(server.url)))
                try:
                    await answerer.answer(prompt)
                except LlmError as error:
                    said.append(f"{error!r} {error} {error.__dict__}")
                await answerer.close()
                # Earlier releases of the package write whole requests here.
                logging.getLogger("openai._base_client").debug("Request options: %s", prompt.user)
        async with ChatServer() as server:
            said.append(str(await fails_with(answers(config(server.url), environ={"TEST_KEY": KEY[:-1]}))))

    run(work())
    written = "\n".join([*said, *(f"{record.getMessage()} {record.args}" for record in caplog.records)])
    assert "HTTP Request: POST" in written, "the client's loggers were heard"
    for secret in (KEY, KEY[:-1], "user-4711", "private thing"):
        assert secret not in written


@pytest.mark.parametrize(
    ("refuses", "formats"),
    [
        (("json_schema",), ["json_schema", "json_object", "json_object"]),
        (("json_schema", "json_object"), ["json_schema", "json_object", None, None]),
    ],
)
def test_a_refused_format_is_left_out_once_and_for_good(refuses: tuple[str, ...], formats: list[str | None]) -> None:
    async def behave(server: ChatServer, body: Any, request: web.Request) -> web.Response:
        if body.get("response_format", {}).get("type") in refuses:
            told = {"error": {"message": "Invalid parameter: 'response_format' of this type is not supported"}}
            return web.json_response(told, status=400)
        return completion(json.dumps(GOOD))

    async def work() -> None:
        async with ChatServer(behave) as server:
            answerer = answers(config(server.url))
            for _ in range(2):
                await answerer.answer(PROMPT)
            assert [body.get("response_format", {}).get("type") for body in server.bodies] == formats
            assert "maxLength" in server.bodies[-1]["messages"][0]["content"], "the schema goes into the words instead"
            assert answerer.breaker_state == "closed"

    run(work())


def test_other_refused_parameters_are_left_out_too_and_a_plain_400_is_final() -> None:
    async def behave(server: ChatServer, body: Any, request: web.Request) -> web.Response:
        for name in ("max_tokens", "temperature"):
            if name in body:
                return web.json_response({"error": {"message": "unsupported", "param": name}}, status=400)
        if len(server.bodies) > 4:
            return web.json_response({"error": {"message": "prompt is too long"}}, status=400)
        return completion(json.dumps(GOOD))

    async def work() -> None:
        async with ChatServer(behave) as server:
            answerer = answers(config(server.url))
            await answerer.answer(PROMPT)
            assert server.bodies[-1]["max_completion_tokens"] == 50
            await answerer.answer(PROMPT)
            assert len(server.bodies) == 4
            error = await fails_with(answerer)
            assert (error.code, error.retry, len(server.bodies)) == ("refused", False, 5)
            assert "too long" in str(error)

    run(work())


def test_no_more_requests_are_in_flight_than_allowed() -> None:
    async def work() -> None:
        async with ChatServer(says(json.dumps(GOOD), after_s=0.05)) as server:
            answerer = answers(config(server.url, concurrency=3))
            await asyncio.gather(*(answerer.answer(PROMPT) for _ in range(12)))
            assert server.most_under_way == 3

    run(work())


@pytest.mark.parametrize("overrun", [0.3, 1.0, 1.6], ids=["cheaper", "as estimated", "dearer than estimated"])
def test_no_window_of_the_server_sees_more_than_the_budget(overrun: float) -> None:
    """The span is a second here instead of a minute; the server books tokens when its answer leaves."""
    limit, span_s, price = 3 * most_tokens(PROMPT), 1.0, int(overrun * most_tokens(PROMPT))

    async def behave(server: ChatServer, body: Any, request: web.Request) -> web.Response:
        await asyncio.sleep(0.02 * (len(server.bodies) % 4))
        server.tokens.append((time.monotonic(), price))
        return completion(json.dumps(GOOD), price, 0)

    async def work() -> None:
        async with ChatServer(behave) as server:
            budget = TokenBudget(limit, span_s=span_s)
            answerer = answers(config(server.url, concurrency=8), budget=budget)
            started = time.monotonic()
            await asyncio.gather(*(answerer.answer(PROMPT) for _ in range(8)))
            took = time.monotonic() - started
            worst = max(
                sum(count for at, count in server.tokens if start <= at < start + span_s) for start, _ in server.tokens
            )
            assert worst <= limit
            assert worst >= 0.4 * limit, "the budget is used, not just kept"
            assert took < 8 / (limit // price) * span_s + 3

    run(work())


def test_a_request_that_never_fits_says_so() -> None:
    async def work() -> None:
        async with ChatServer() as server:
            error = await fails_with(answers(config(server.url, tokens_per_minute=10)))
            assert (error.code, error.retry, server.bodies) == ("over_budget", False, [])
            assert "tokens_per_minute" in str(error)

    run(work())


def test_a_server_that_comes_back_is_used_again() -> None:
    async def work() -> None:
        async with ChatServer(fails(500, 2)) as server:
            breaker = Breaker(2, 0.3)
            answerer = answers(config(server.url, attempts=1), breaker=breaker)
            for _ in range(2):
                await fails_with(answerer)
            assert isinstance(await fails_with(answerer), BreakerOpen)
            await asyncio.sleep(0.35)
            await answerer.answer(PROMPT)
            assert breaker.state == "closed"

    run(work())
