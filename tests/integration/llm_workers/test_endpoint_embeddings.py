"""Text vectors over HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from chat_server import KEY, Behaviour, ChatServer

from llm_workers.client.embeddings import BATCH_TEXTS, KIND, EndpointEncoder
from llm_workers.config import LlmConfig, LlmConfigError
from llm_workers.protocols import LlmError, TextEncoder


async def lengths(server: ChatServer, body: dict[str, Any], request: web.Request) -> web.Response:
    """A text's vector is (its length, 1, 0); rows come in no order."""
    rows = [{"index": at, "embedding": [len(text), 1, 0.0]} for at, text in enumerate(body["input"])]
    return web.json_response({"data": rows[::-1], "usage": {"prompt_tokens": len(rows), "total_tokens": 1}})


@contextmanager
def served(behaviour: Behaviour) -> Iterator[ChatServer]:
    """The server in a loop of its own: the encoder blocks its caller."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = ChatServer(behaviour)
    try:
        yield asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def encoder(server: ChatServer, width: int = 3) -> EndpointEncoder:
    config = LlmConfig(
        base_url=server.url,
        api_key_env="K",
        embeddings_model="e",
        embeddings_width=width,
        usd_per_million_embedded=2.0,
        attempts=1,
    )
    return EndpointEncoder(config, environ={"K": KEY})


def test_vectors_have_length_one_and_the_order_of_their_texts() -> None:
    with served(lengths) as server:
        made: TextEncoder = encoder(server)
        vectors = made.encode(["abc", "", "a", "  "])
        assert (made.model_id, made.width, vectors.dtype) == ("e", 3, np.float32)
        wanted = np.array([[3, 1, 0], [0, 0, 0], [1, 1, 0], [0, 0, 0]]) / np.array([[10**0.5], [1], [2**0.5], [1]])
        np.testing.assert_allclose(vectors, wanted, rtol=1e-6)
        assert server.bodies[0]["input"] == ["abc", "a"], "empty texts cost nothing"
        assert made.encode([]).shape == (0, 3)
        assert isinstance(made, EndpointEncoder)
        assert made.figures()[KIND]["usd"] == pytest.approx(4e-6)
        made.close()


def test_many_texts_go_in_bounded_requests_from_any_thread() -> None:
    texts = ["x" * (1 + at % 50) for at in range(2 * BATCH_TEXTS + 1)]
    with served(lengths) as server:
        made = encoder(server)
        with ThreadPoolExecutor(3) as threads:
            first, *others = threads.map(made.encode, [texts] * 3)
        assert len(server.bodies) == 9
        assert all((other == first).all() for other in others)
        ratio = first[:, 0] / first[:, 1]
        np.testing.assert_allclose(ratio, [len(text) for text in texts], rtol=1e-5)
        made.encode(["y" * 40_000, "z" * 40_000])
        assert len(server.bodies) == 11
        made.close()


@pytest.mark.parametrize("reply", [{"data": []}, {}, {"data": [{"index": 0, "embedding": ["x"]}]}, [1]])
def test_what_is_no_vector_is_refused(reply: Any) -> None:
    async def behave(server: ChatServer, body: dict[str, Any], request: web.Request) -> web.Response:
        return web.json_response(reply)

    with served(behave) as server, pytest.raises(LlmError, match="embeddings_width") as error:
        encoder(server).encode(["a"])
    assert error.value.code == "invalid_answer"


def test_another_width_than_set_names_the_setting() -> None:
    with served(lengths) as server, pytest.raises(LlmError, match=r"embeddings_width = 4.*\(1, 3\)"):
        encoder(server, width=4).encode(["a"])
    with pytest.raises(LlmConfigError, match="embeddings_model is empty"):
        EndpointEncoder(LlmConfig(), environ={"OPENAI_API_KEY": "k"})
