"""The BLSTM encoder: bidirectional LSTM layers with max-pooling over time between them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrkit.config.ordered import Ordered
from asrkit.config.registry import Factory
from asrkit.models.interfaces import Encoded, Encoder, encoders
from asrkit.nn.dropout import Dropout
from asrkit.nn.lstm import Biases
from asrkit.nn.masking import length_mask
from asrkit.nn.recurrent import BidirectionalLstm
from asrkit.nn.resampling import Frontend, FrontendStack, frontends


@encoders.register("blstm")
class BlstmEncoder(Encoder):
    """Frontend, then bidirectional LSTM layers.

    Args:
        input_dim: F of the features.
        hidden_dim: Size per direction; D is twice that.
        num_layers: Number of layers.
        pools: Max-pooling over time after the first layers, such as [3, 2].
        frontend: What shortens the features first, by name, in order.
        taps: Layers, counted from 1, whose outputs heads may read; only unpooled ones.
        dropout: Between layers.
        biases: Of each LSTM: two, as in PyTorch, or one, as in RETURNN.

    Raises:
        ValueError: If there are more pools than layers, or a tap is not a layer, or pools follow
            it.
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        num_layers: int,
        pools: list[int] = [],  # noqa: B006 - never changed
        frontend: Ordered[Factory[Frontend]] = Ordered(),  # noqa: B006, B008 - never changed
        taps: list[int] = [],  # noqa: B006 - never changed
        dropout: float = 0.3,
        biases: Biases = "two",
    ) -> None:
        super().__init__()
        if len(pools) > num_layers:
            raise ValueError(f"pools {pools} are more than the layers ({num_layers})")
        wrong = [tap for tap in taps if not max(len(pools), 1) <= tap <= num_layers]
        if wrong:
            raise ValueError(
                f"taps {wrong} must be layers from {max(len(pools), 1)} (the last pooled one) "
                f"to {num_layers}"
            )
        self.dim, self.num_layers, self.taps = 2 * hidden_dim, num_layers, list(taps)
        self.pools = [*pools, *([1] * (num_layers - len(pools)))]
        self.frontends = FrontendStack(frontend.values(), input_dim)
        sizes = [self.frontends.dim, *([self.dim] * (num_layers - 1))]
        self.layers = nn.ModuleList(BidirectionalLstm(size, hidden_dim, biases) for size in sizes)
        self.dropout = Dropout(dropout)

    def joined_shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns how the two directions are joined in what the next layer reads."""
        size = self.dim // 2
        return {
            f"layers.{layer}.lstm.weight_ih_l0{direction}": (4, size, 2, size)
            for layer in range(1, self.num_layers)
            for direction in ("", "_reverse")
        }

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns (B,) frames that come out for (B,) feature frames."""
        lengths = self.frontends.output_lengths(lengths)
        for pool in self.pools:
            lengths = _pooled(lengths, pool)
        return lengths

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """Encodes features (B, T, F) with lengths (B,)."""
        frames, lengths = self.frontends(features, lengths)
        taps: dict[int, Tensor] = {}
        sizes = lengths.cpu()  # once: a GPU would be waited for in every layer
        for number, (layer, pool) in enumerate(zip(self.layers, self.pools, strict=True), start=1):
            frames = layer(frames, sizes)
            if pool > 1:
                frames, lengths = _pool(frames, lengths, pool)
                sizes = _pooled(sizes, pool)
            if number in self.taps:
                taps[number] = frames
            frames = self.dropout(frames) if number < self.num_layers else frames
        return Encoded(frames=frames, lengths=lengths, taps=taps)


@frontends.register("blstm")
class BlstmFrontend(Frontend):
    """Bidirectional LSTM layers with pooling, which shorten the features of another encoder.

    Args:
        input_dim: F.
        hidden_dim: Size per direction; D is twice that.
        pools: Max-pooling over time after each layer, which is how many layers there are.
        dropout: After each layer but the last.
        output_dropout: After the last layer; the same where null.
        biases: Of each LSTM: two, as in PyTorch, or one, as in RETURNN.

    Source: the frontend `blstmf2` of rwth-i6/i6_experiments,
        users/zeyer/experiments/exp2022_07_21_transducer/exp_fs_base.
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int,
        pools: list[int],
        dropout: float = 0.1,
        output_dropout: float | None = None,
        biases: Biases = "two",
    ) -> None:
        super().__init__()
        self.layers = BlstmEncoder(
            input_dim, hidden_dim, len(pools), pools, dropout=dropout, biases=biases
        )
        self.dim = self.layers.dim
        self.dropout = Dropout(dropout if output_dropout is None else output_dropout)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns (B,) frames that come out for (B,) feature frames."""
        return self.layers.output_lengths(lengths)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns shorter frames (B, T, D) of features (B, T, F), and their lengths."""
        encoded = self.layers(x, lengths)
        return self.dropout(encoded.frames), encoded.lengths


def _pooled(lengths: Tensor, pool: int) -> Tensor:
    """Returns how many frames come out for (B,) that go in."""
    return torch.div(lengths + pool - 1, pool, rounding_mode="floor")


def _pool(frames: Tensor, lengths: Tensor, pool: int) -> tuple[Tensor, Tensor]:
    mask = length_mask(lengths, frames.shape[1]).unsqueeze(2)
    hidden = frames.masked_fill(~mask, torch.finfo(frames.dtype).min).transpose(1, 2)
    pooled = F.max_pool1d(hidden, pool, ceil_mode=True).transpose(1, 2)
    shorter = _pooled(lengths, pool)
    return pooled.masked_fill(~length_mask(shorter, pooled.shape[1]).unsqueeze(2), 0.0), shorter
