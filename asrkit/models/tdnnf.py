"""The TDNN-F encoder: time delay layers whose matrices are products of two thin ones.

Each layer hears one frame before, goes through a bottleneck, and hears one frame of that after. It
costs little for each frame, which is why it is what small hybrid systems are made of.
"""

from __future__ import annotations

from itertools import zip_longest

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrkit.config.ordered import Ordered
from asrkit.config.registry import Factory
from asrkit.models.interfaces import Encoded, Encoder, encoders
from asrkit.models.taps import checked_taps
from asrkit.nn.activations import Activation, ReLU
from asrkit.nn.constraints import SemiOrthogonalLinear
from asrkit.nn.dropout import ContinuousDropout
from asrkit.nn.masking import length_mask, zero_padding
from asrkit.nn.norms import BatchNorm, Norm
from asrkit.nn.resampling import Frontend, FrontendStack, shortened


@encoders.register("tdnnf")
class TdnnfEncoder(Encoder):
    """Frontend, a linear layer to D, then factorised time delay layers that are added up.

    Args:
        input_dim: F of the features.
        dim: D.
        bottleneck: Size between the two matrices of a layer.
        strides: Of each layer, how many frames before and after it hears; it hears one frame only
            where 0.
        subsampling: Every how many-th frame is kept after the first layers, such as [1, 1, 3].
        frontend: What shortens the features first, by name, in order.
        bypass: Factor of what goes into a layer, which is added to what comes out.
        activation: After the second matrix.
        norm: After the activation.
        taps: Layers, counted from 1, whose outputs heads may read; none before the last one that
            leaves out frames.
        dropout: Of values of whole utterances, after the norm.

    Raises:
        ValueError: If there is no layer, a number is impossible, or a tap is not a layer or frames
            are left out after it.

    Source: Povey et al. 2018, "Semi-orthogonal low-rank matrix factorization for deep neural
        networks"; kaldi-asr/kaldi, egs/wsj/s5/steps/libs/nnet3/xconfig/composite_layers.py.
    """

    def __init__(
        self,
        input_dim: int,
        dim: int,
        bottleneck: int,
        strides: list[int],
        subsampling: list[int] = [],  # noqa: B006 - never changed
        frontend: Ordered[Factory[Frontend]] = Ordered(),  # noqa: B006, B008 - never changed
        bypass: float = 0.66,
        activation: Factory[Activation] = ReLU,
        norm: Factory[Norm] = BatchNorm,
        taps: list[int] = [],  # noqa: B006 - never changed
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _require_layers(strides, subsampling, bottleneck)
        self.dim, self.num_layers = dim, len(strides)
        self.taps = _late_taps(checked_taps(taps, len(strides)), subsampling)
        self.subsampling = subsampling
        self.frontends = FrontendStack(frontend.values(), input_dim)
        self.input = nn.Linear(self.frontends.dim, dim)
        self.finish = Finish(dim, activation, norm, dropout)
        self.layers = nn.ModuleList(
            FactorizedLayer(
                dim, bottleneck, stride, kept, bypass, Finish(dim, activation, norm, dropout)
            )
            for stride, kept in zip_longest(strides, subsampling, fillvalue=1)
        )

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns (B,) frames that come out for (B,) feature frames."""
        return shortened(self.frontends.output_lengths(lengths), self.subsampling)

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """Encodes features (B, T, F) with lengths (B,)."""
        frames, lengths = self.frontends(features, lengths)
        mask = length_mask(lengths, frames.shape[1])
        frames, taps = self.finish(self.input(frames), mask), dict[int, Tensor]()
        for number, layer in enumerate(self.layers, start=1):
            assert isinstance(layer, FactorizedLayer)
            frames, mask = layer(frames, mask)
            lengths = shortened(lengths, [layer.subsampling])
            if number in self.taps:
                taps[number] = frames
        return Encoded(frames=frames, lengths=lengths, taps=taps)


class Finish(nn.Module):
    """What follows the matrices of a layer: activation, norm, dropout.

    Args:
        dim: D.
        activation: Comes first.
        norm: Comes next.
        dropout: Comes last.
    """

    def __init__(
        self, dim: int, activation: Factory[Activation], norm: Factory[Norm], dropout: float
    ) -> None:
        super().__init__()
        self.activation, self.norm = activation(), norm(dim=dim)
        self.dropout = ContinuousDropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Returns frames (B, T, D) of (B, T, D) with a mask (B, T), True = valid."""
        finished: Tensor = self.dropout(self.norm(self.activation(x), mask))
        return finished


class FactorizedLayer(nn.Module):
    """A bottleneck that hears one frame before, and a layer that hears one bottleneck after.

    Args:
        dim: D.
        bottleneck: W, the size between the matrices.
        stride: How many frames before and after; one frame only where 0.
        subsampling: Every how many-th frame is kept.
        bypass: Factor of what goes in, which is added.
        finish: What follows the matrices.
    """

    def __init__(
        self,
        dim: int,
        bottleneck: int,
        stride: int,
        subsampling: int,
        bypass: float,
        finish: Finish,
    ) -> None:
        super().__init__()
        self.stride, self.subsampling, self.bypass = stride, subsampling, bypass
        self.heard = 2 if stride else 1
        self.first = SemiOrthogonalLinear(self.heard * dim, bottleneck)
        self.second = nn.Linear(self.heard * bottleneck, dim)
        self.finish = finish

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Returns frames (B, T', D) of (B, T, D), and their mask (B, T') of that (B, T)."""
        inner = self._second_input(zero_padding(self._first(x), mask))
        mask = mask[:, :: self.subsampling]
        finished = self.finish(self.second(inner[:, :: self.subsampling]), mask)
        return torch.add(finished, x[:, :: self.subsampling], alpha=self.bypass), mask

    def _first(self, x: Tensor) -> Tensor:
        """Returns bottlenecks (B, T, W) of the frame `stride` before and the frame itself."""
        if not self.stride:
            bottlenecks: Tensor = self.first(x)
            return bottlenecks
        # Each frame goes through both halves of the matrix at once; moved are only bottlenecks.
        halves = self.first.weight.chunk(2, dim=1)
        before, own = F.linear(x, torch.cat(halves)).chunk(2, dim=2)
        return own + F.pad(before, (0, 0, self.stride, 0))[:, : x.shape[1]]

    def _second_input(self, inner: Tensor) -> Tensor:
        """Returns bottlenecks (B, T, 2 W): the frame's own, and those `stride` frames after."""
        if not self.stride:
            return inner
        after = F.pad(inner, (0, 0, 0, self.stride))[:, self.stride :]
        return torch.cat([inner, after], dim=2)


def _require_layers(strides: list[int], subsampling: list[int], bottleneck: int) -> None:
    if not strides or min(strides) < 0:
        raise ValueError(
            f"strides {strides} must be numbers of frames of at least 0, one for each layer"
        )
    if len(subsampling) > len(strides):
        raise ValueError(f"subsampling {subsampling} is of more layers than strides ({strides})")
    if min(subsampling, default=1) < 1:
        raise ValueError(f"subsampling {subsampling} must be of positive numbers")
    if bottleneck < 1:
        raise ValueError(f"bottleneck ({bottleneck}) must be at least 1")


def _late_taps(taps: list[int], subsampling: list[int]) -> list[int]:
    """Returns the same taps, if all have as many frames as the last layer."""
    last = max((number for number, kept in enumerate(subsampling, 1) if kept > 1), default=1)
    early = [tap for tap in taps if tap < last]
    if early:
        raise ValueError(
            f"taps {early} must be layers from {last} on, the last that leaves out frames"
        )
    return taps
