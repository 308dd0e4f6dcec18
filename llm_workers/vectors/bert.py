"""The forward pass of BERT (Devlin et al., 2019) over weights in safetensors: what a sentence encoder needs of it.

A page instead of a framework that takes longer to import than a catalogue takes to encode.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import embedding, gelu, layer_norm, linear, scaled_dot_product_attention


class BertConfig(msgspec.Struct, frozen=True):
    """The fields of ``config.json`` that matter here."""

    model_type: str
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    layer_norm_eps: float = 1e-12
    hidden_act: str = "gelu"
    position_embedding_type: str = "absolute"


class Bert:
    """Token ids to hidden states."""

    def __init__(self, config: BertConfig, weights: dict[str, Tensor], precision: torch.dtype = torch.float32) -> None:
        self.config = config
        self._weights = {name.removeprefix("bert."): weight.to(precision) for name, weight in weights.items()}

    @classmethod
    def of_folder(cls, folder: Path, precision: torch.dtype = torch.float32) -> Bert:
        """Read ``config.json`` and ``model.safetensors``; ``precision`` is what is computed in.

        Raises :class:`ValueError` for another kind of model, naming the file, the rule and the fix.
        """
        file = folder / "config.json"
        try:
            config = msgspec.json.decode(file.read_bytes(), type=BertConfig)
        except msgspec.ValidationError as error:
            raise ValueError(f"{file}: {error}; a BERT model's configuration is needed") from None
        found = config.model_type, config.hidden_act, config.position_embedding_type
        if found != ("bert", "gelu", "absolute"):
            raise ValueError(
                f"{file}: a model of kind {' / '.join(found)}; only bert / gelu / absolute can be run here. "
                "Serve other models behind an embeddings endpoint"
            )
        return cls(config, load_file(folder / "model.safetensors"), precision)

    @torch.inference_mode()
    def hidden(self, ids: Tensor, real: Tensor) -> Tensor:
        """``[n, length, width]`` hidden states of ``ids`` ``[n, length]``; ``real`` is False at padding."""
        n, length = ids.shape
        heads = self.config.num_attention_heads
        mask = None if bool(real.all()) else real[:, None, None, :]
        words, places, kinds = (
            self._weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")
        )
        state = self._normed("embeddings.LayerNorm", embedding(ids, words) + places[:length] + kinds[0])
        for layer in range(self.config.num_hidden_layers):
            own = f"encoder.layer.{layer}."
            query, key, value = (
                self._mapped(f"{own}attention.self.{name}", state).view(n, length, heads, -1).transpose(1, 2)
                for name in ("query", "key", "value")
            )
            seen = scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)
            seen = self._mapped(f"{own}attention.output.dense", seen)
            state = self._normed(f"{own}attention.output.LayerNorm", state + seen)
            inner = gelu(self._mapped(f"{own}intermediate.dense", state))
            state = self._normed(f"{own}output.LayerNorm", state + self._mapped(f"{own}output.dense", inner))
        return state

    def _mapped(self, name: str, state: Tensor) -> Tensor:
        return linear(state, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _normed(self, name: str, state: Tensor) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return layer_norm(state, weight.shape, weight, bias, self.config.layer_norm_eps)
