"""The Transformer encoder: pre-norm self-attention and feed-forward blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asrkit.config.ordered import Ordered
from asrkit.config.registry import Factory
from asrkit.models.interfaces import Encoded, Encoder, encoders
from asrkit.nn.activations import Activation, ReLU
from asrkit.nn.attention import SelfAttention
from asrkit.nn.dropout import Dropout
from asrkit.nn.feed_forward import FeedForward
from asrkit.nn.norms import LayerNorm
from asrkit.nn.positions import sinusoids
from asrkit.nn.resampling import Frontend, FrontendStack
from asrkit.nn.residual import Place, Residual
from asrkit.nn.spans import FullSpan, Span


@encoders.register("transformer")
class TransformerEncoder(Encoder):
    """Frontend, linear layer, sinusoidal positions, then Transformer blocks and a last norm.

    Args:
        input_dim: F of the features.
        dim: D.
        num_layers: Number of blocks.
        num_heads: Attention heads.
        hidden_dim: Of the feed-forward sublayers.
        frontend: What shortens the features first, by name, in order.
        activation: Of the feed-forward sublayers.
        span: How far frames may look.
        taps: Blocks, counted from 1, whose outputs heads may read.
        dropout: Everywhere.

    Raises:
        ValueError: If a tap is no block.

    Source: Vaswani et al. 2017, with norms before the sublayers (Wang et al. 2019).
    """

    def __init__(
        self,
        input_dim: int,
        dim: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        frontend: Ordered[Factory[Frontend]],
        activation: Factory[Activation] = ReLU,
        span: Span = FullSpan(),  # noqa: B008 - has no state
        taps: list[int] = [],  # noqa: B006 - never changed
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        beyond = [tap for tap in taps if not 1 <= tap <= num_layers]
        if beyond:
            raise ValueError(f"taps {beyond} are no blocks: there are blocks 1 to {num_layers}")
        self.dim, self.num_layers, self.taps, self.span = dim, num_layers, list(taps), span
        self.frontends = FrontendStack(frontend.values(), input_dim)
        self.input = nn.Linear(self.frontends.dim, dim)
        self.dropout = Dropout(dropout)

        def attention(dim: int) -> SelfAttention:
            return SelfAttention(dim, num_heads, dropout=dropout)

        def feed_forward(dim: int) -> FeedForward:
            return FeedForward(dim, hidden_dim, activation, dropout)

        self.blocks = nn.ModuleList()
        for block in range(1, num_layers + 1):
            place = Place(block, num_layers, block, num_layers)
            parts = {"attention": attention, "ffn": feed_forward}
            self.blocks.append(
                nn.ModuleDict(
                    {n: Residual(dim, place, m, dropout=dropout) for n, m in parts.items()}
                )
            )
        self.norm = LayerNorm(dim)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns (B,) frames that come out for (B,) feature frames."""
        return self.frontends.output_lengths(lengths)

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """Encodes features (B, T, F) with lengths (B,)."""
        frames, lengths = self.frontends(features, lengths)
        places = torch.arange(frames.shape[1], device=frames.device)
        frames = self.input(frames) * self.dim**0.5
        frames = self.dropout(frames + sinusoids(places, self.dim).to(frames.dtype))
        context = self.span.at(self.training).context(lengths, frames.shape[1])
        taps: dict[int, Tensor] = {}
        for number, block in enumerate(self.blocks, start=1):
            assert isinstance(block, nn.ModuleDict)
            for residual in block.values():
                frames = residual(frames, context)
            if number in self.taps:
                taps[number] = frames
        return Encoded(frames=self.norm(frames, context.mask), lengths=lengths, taps=taps)
