"""The Transformer encoder: pre-norm self-attention and feed-forward blocks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asrkit.config.ordered import Ordered
from asrkit.config.registry import Factory
from asrkit.models.interfaces import Encoded, Encoder, encoders
from asrkit.models.taps import checked_taps
from asrkit.nn.activations import Activation, ReLU
from asrkit.nn.attention import SelfAttention
from asrkit.nn.contexts import EncoderContext
from asrkit.nn.dropout import Dropout
from asrkit.nn.feed_forward import FeedForward
from asrkit.nn.masking import SequenceContext
from asrkit.nn.norms import LayerNorm, Norm
from asrkit.nn.positions import Layout, sinusoids
from asrkit.nn.resampling import Frontend, FrontendStack
from asrkit.nn.residual import Place, Residual

LAST = 0
"""Key of the last norm's output; those of blocks are counted from 1."""


@dataclass(frozen=True)
class HiddenLayer:
    """The hidden layer of feed-forward sublayers.

    Args:
        hidden_dim: Its size.
        activation: Of its values.
    """

    hidden_dim: int
    activation: Factory[Activation] = ReLU


@encoders.register("transformer")
class TransformerEncoder(Encoder):
    """Frontend, linear layer, sinusoidal positions, then Transformer blocks and a last norm.

    Args:
        input_dim: F of the features.
        dim: D.
        num_layers: Number of blocks.
        num_heads: Attention heads.
        feed_forward: The feed-forward sublayers.
        frontend: What shortens the features first, by name, in order.
        context: What frames see of each other.
        taps: Blocks, counted from 1, whose outputs heads may read.
        dropout: Everywhere.
        attention_dropout: Of the attention weights; `dropout` where null.
        norm: Before each sublayer, and the last one.
        layout: Of the sinusoids.

    Raises:
        ValueError: If a tap is not a block.

    Source: Vaswani et al. 2017, with norms before the sublayers (Wang et al. 2019).
    """

    def __init__(
        self,
        input_dim: int,
        dim: int,
        num_layers: int,
        num_heads: int,
        feed_forward: HiddenLayer,
        frontend: Ordered[Factory[Frontend]],
        context: EncoderContext = EncoderContext(),  # noqa: B008 - has no state
        taps: list[int] = [],  # noqa: B006 - never changed
        dropout: float = 0.1,
        attention_dropout: float | None = None,
        norm: Factory[Norm] = LayerNorm,
        layout: Layout = "halves",
    ) -> None:
        super().__init__()
        self.dim, self.num_layers, self.context = dim, num_layers, context
        self.layout: Layout = layout
        self.taps = checked_taps(taps, num_layers)
        self.frontends = FrontendStack(frontend.values(), input_dim)
        self.input = nn.Linear(self.frontends.dim, dim)
        self.dropout = Dropout(dropout)

        def attention(dim: int) -> SelfAttention:
            share = dropout if attention_dropout is None else attention_dropout
            return SelfAttention(dim, num_heads, dropout=share)

        def ffn(dim: int) -> FeedForward:
            return FeedForward(dim, feed_forward.hidden_dim, feed_forward.activation, dropout)

        self.blocks = nn.ModuleList()
        for block in range(1, num_layers + 1):
            place = Place(block, num_layers, block, num_layers)
            parts = {"attention": attention, "ffn": ffn}
            self.blocks.append(
                nn.ModuleDict(
                    {
                        n: Residual(dim, place, m, norm=norm, dropout=dropout)
                        for n, m in parts.items()
                    }
                )
            )
        self.norm = norm(dim=dim)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns (B,) frames that come out for (B,) feature frames."""
        return self.frontends.output_lengths(lengths)

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """Encodes features (B, T, F) with lengths (B,)."""
        frames, lengths = self.frontends(features, lengths)
        frames = self.input(frames) * self.dim**0.5
        outputs = self.context.apply(self._outputs, frames, lengths, self.training)
        return Encoded(frames=outputs.pop(LAST), lengths=lengths, taps=outputs)

    def _outputs(self, frames: Tensor, context: SequenceContext) -> dict[int, Tensor]:
        """Returns the outputs (B, T, D) of tapped blocks by number, and of the last norm."""
        places = torch.arange(frames.shape[1], device=frames.device)
        added = sinusoids(places, self.dim, self.layout)
        frames = self.dropout(frames + added.to(frames.dtype))
        outputs: dict[int, Tensor] = {}
        for number, block in enumerate(self.blocks, start=1):
            assert isinstance(block, nn.ModuleDict)
            for residual in block.values():
                frames = residual(frames, context)
            if number in self.taps:
                outputs[number] = frames
        outputs[LAST] = self.norm(frames, context.mask)
        return outputs
