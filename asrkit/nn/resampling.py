"""Frontends shorten the feature sequence before the encoder's layers.

Padding is set to zero before everything that looks across frames, so a valid output frame never
depends on how much padding its batch needed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asrkit.config.registry import Factory, Registry
from asrkit.nn.masking import length_mask, zero_padding


class Frontend(nn.Module, ABC):
    """Features (B, T, F) to fewer frames (B, T', D). Implementations set `dim`."""

    dim: int

    @abstractmethod
    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns the valid frames (B,) that come out for valid frames (B,)."""

    @abstractmethod
    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns frames (B, T', D) and their lengths (B,)."""


frontends: Registry[Frontend] = Registry("frontend", Frontend, late=("input_dim",))


class FrontendStack(nn.ModuleList):
    """Frontends one after the other.

    Args:
        makes: The frontends, in order.
        input_dim: F of the features; `dim` is what the last frontend gives.
    """

    def __init__(self, makes: Sequence[Factory[Frontend]], input_dim: int) -> None:
        super().__init__()
        self.dim = input_dim
        for make in makes:
            frontend = make(input_dim=self.dim)
            self.append(frontend)
            self.dim = frontend.dim

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns the valid frames (B,) that come out for valid frames (B,)."""
        for frontend in self:
            assert isinstance(frontend, Frontend)
            lengths = frontend.output_lengths(lengths)
        return lengths

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns frames (B, T', D) and their lengths (B,)."""
        for frontend in self:
            x, lengths = frontend(x, lengths)
        return x, lengths


def _shortened(lengths: Tensor, strides: Sequence[int]) -> Tensor:
    """Returns ceil(length / stride), stride by stride."""
    for stride in strides:
        lengths = torch.div(lengths + stride - 1, stride, rounding_mode="floor")
    return lengths


@frontends.register("conv2d")
class Conv2dFrontend(Frontend):
    """3 × 3 convolutions over time and frequency with ReLU and stride, then a linear layer.

    Args:
        input_dim: F.
        channels: Channels of each convolution.
        strides: Stride of each convolution in time and frequency.
        dim: D.
        frequency_strides: Strides in frequency where they differ from those in time.

    Raises:
        ValueError: If the lists have different lengths.
    """

    def __init__(
        self,
        input_dim: int,
        channels: list[int],
        strides: list[int],
        dim: int,
        frequency_strides: list[int] | None = None,
    ) -> None:
        super().__init__()
        across = strides if frequency_strides is None else frequency_strides
        if not len(channels) == len(strides) == len(across):
            raise ValueError(
                f"channels {channels}, strides {strides} and frequency_strides {across} "
                "must have one entry per convolution each"
            )
        self.dim = dim
        self.strides = strides
        inputs = [1, *channels[:-1]]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, 3, stride=(s, a), padding=1)
            for i, o, s, a in zip(inputs, channels, strides, across, strict=True)
        )
        frequencies = int(_shortened(torch.tensor(input_dim, device="cpu"), across))
        self.output = nn.Linear(channels[-1] * frequencies, dim)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns ceil(length / stride), stride by stride."""
        return _shortened(lengths, self.strides)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns frames (B, T', D) and their lengths (B,)."""
        x = zero_padding(x, length_mask(lengths, x.shape[1])).unsqueeze(1)  # (B, 1, T, F)
        for convolution, stride in zip(self.convolutions, self.strides, strict=True):
            x = convolution(x).relu()
            lengths = _shortened(lengths, [stride])
            x = x * length_mask(lengths, x.shape[2])[:, None, :, None]
        frames = x.permute(0, 2, 1, 3).flatten(2)  # (B, C, T', F') -> (B, T', C·F')
        return self.output(frames), lengths


@frontends.register("vgg")
class VggFrontend(Frontend):
    """Pairs of 3 × 3 convolutions, a ReLU after the second, then max-pooling.

    Args:
        input_dim: F.
        channels: Channels of each pair.
        time_pools: Pooling over time after each pair.
        frequency_pools: Pooling over frequency after each pair.

    Raises:
        ValueError: If the lists have different lengths.

    Source: Simonyan and Zisserman 2015, as used in hybrid Conformers (ReLU once per pair).
    """

    def __init__(
        self,
        input_dim: int,
        channels: list[int],
        time_pools: list[int],
        frequency_pools: list[int],
    ) -> None:
        super().__init__()
        if not len(channels) == len(time_pools) == len(frequency_pools):
            raise ValueError(
                f"channels {channels}, time_pools {time_pools} and frequency_pools "
                f"{frequency_pools} must have one entry per pair of convolutions each"
            )
        self.time_pools, self.frequency_pools = time_pools, frequency_pools
        inputs = [1, *channels[:-1]]
        self.pairs = nn.ModuleList(
            nn.ModuleList([nn.Conv2d(i, o, 3, padding=1), nn.Conv2d(o, o, 3, padding=1)])
            for i, o in zip(inputs, channels, strict=True)
        )
        frequencies = int(_shortened(torch.tensor(input_dim, device="cpu"), frequency_pools))
        self.dim = channels[-1] * frequencies

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns ceil(length / pool), pool by pool."""
        return _shortened(lengths, self.time_pools)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns frames (B, T', D) and their lengths (B,)."""
        x = x.unsqueeze(1)  # (B, T, F) -> (B, 1, T, F)
        for pair, time, frequency in zip(
            self.pairs, self.time_pools, self.frequency_pools, strict=True
        ):
            assert isinstance(pair, nn.ModuleList)
            mask = length_mask(lengths, x.shape[2])[:, None, :, None]
            x = pair[0](x.masked_fill(~mask, 0.0)).masked_fill(~mask, 0.0)
            x = pair[1](x).relu().masked_fill(~mask, 0.0)
            x = nn.functional.max_pool2d(x, (time, frequency), ceil_mode=True)
            lengths = _shortened(lengths, [time])
        return x.permute(0, 2, 1, 3).flatten(2), lengths


@frontends.register("frame_stacking")
class FrameStacking(Frontend):
    """Joins the current frame and the ones before it, then keeps every stride-th frame.

    Args:
        input_dim: F.
        window: Frames that are joined.
        stride: Every how many frames a window ends.
        dim: D of a linear layer after the stacking; none where null.
    """

    def __init__(self, input_dim: int, window: int, stride: int, dim: int | None = None) -> None:
        super().__init__()
        self.window, self.stride = window, stride
        stacked = input_dim * window
        self.dim = stacked if dim is None else dim
        self.output = nn.Identity() if dim is None else nn.Linear(stacked, dim)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns ceil(length / stride)."""
        return _shortened(lengths, [self.stride])

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns frames (B, T', D) and their lengths (B,)."""
        padded = nn.functional.pad(x, (0, 0, self.window - 1, 0))
        windows = padded.unfold(1, self.window, self.stride)  # (B, T', F, window)
        stacked = windows.transpose(2, 3).flatten(2)
        return self.output(stacked), self.output_lengths(lengths)
