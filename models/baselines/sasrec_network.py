"""The network of SASRec: self-attention over a user's sequence of items."""

from __future__ import annotations

from torch import Tensor, nn


class SASRecNetwork(nn.Module):
    """What is known after each position of a sequence, as a vector to be compared with item embeddings.

    Kang & McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, equations 1 to 8: learned positions, causal
    self-attention, point-wise feed-forward layers as wide as the embedding, item embeddings shared between input and
    output. Layers are torch's own, with the norm before each block as in the authors' code.
    """

    def __init__(self, *, width: int, layers: int, heads: int, length: int, dropout: float) -> None:
        super().__init__()
        self.items = nn.Embedding(1, width)
        """``[capacity, width]`` rows by item; row 0 stands at the start of every sequence. See :meth:`grow`."""
        self.positions = nn.Embedding(length, width)
        self.dropout = nn.Dropout(dropout)
        block = nn.TransformerEncoderLayer(width, heads, width, dropout, batch_first=True, norm_first=True)
        # On attention weights and inside the feed-forward layer; what a block adds keeps its dropout. Drawing numbers
        # for these two took a third of an update's time.
        block.self_attn.dropout, block.dropout.p = 0.0, 0.0
        self.blocks = nn.TransformerEncoder(block, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.register_buffer("causal", nn.Transformer.generate_square_subsequent_mask(length), persistent=False)
        self.causal: Tensor
        for embedding in (self.items, self.positions):
            nn.init.normal_(embedding.weight, std=width**-0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        """``inputs`` ``[B, T]`` item rows, T up to the length -> ``[B, T, width]``; padding may follow a sequence."""
        steps = inputs.shape[1]
        states = self.items(inputs) * self.items.embedding_dim**0.5 + self.positions.weight[:steps]
        hidden: Tensor = self.blocks(self.dropout(states), mask=self.causal[:steps, :steps], is_causal=True)
        return hidden
