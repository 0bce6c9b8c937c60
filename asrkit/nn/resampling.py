"""Frontends: they subsample the feature sequence before the encoder's layers.

Padding is set to zero before every operation across frames, so that a valid output frame never
depends on the amount of padding in its batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from asrkit.config.registry import Factory, Registry
from asrkit.nn.activations import Activation, ReLU
from asrkit.nn.masking import length_mask, zero_padding
from asrkit.nn.positions import Layout, sinusoids


class Frontend(nn.Module, ABC):
    """Maps features (B, T, F) to fewer frames (B, T', D). Implementations set `dim`."""

    dim: int

    @abstractmethod
    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns the valid frames (B,) that come out for valid frames (B,)."""

    @abstractmethod
    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns frames (B, T', D) and their lengths (B,)."""


frontends: Registry[Frontend] = Registry("frontend", Frontend, late=("input_dim",))


class FrontendStack(nn.ModuleList):
    """Applies several frontends in order; each gets zeros in the padding.

    Args:
        makes: The frontends, in order.
        input_dim: F of the features; `dim` is that of the last frontend.
    """

    def __init__(self, makes: Iterable[Factory[Frontend]], input_dim: int) -> None:
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
        x = zero_padding(x, length_mask(lengths, x.shape[1]))
        for frontend in self:
            x, lengths = frontend(x, lengths)
        return x, lengths


def shortened(lengths: Tensor, strides: Sequence[int]) -> Tensor:
    """Returns ceil(length / stride), stride by stride."""
    for stride in strides:
        lengths = torch.div(lengths + stride - 1, stride, rounding_mode="floor")
    return lengths


def max_pooled(x: Tensor, lengths: Tensor, time: int, frequency: int) -> Tensor:
    """Returns maxima (B, C, T', F') of (B, C, T, F); frames beyond lengths (B,) don't count."""
    if time > 1:
        # Values can be negative: padding must not win against any valid value.
        mask = length_mask(lengths, x.shape[2])[:, None, :, None]
        x = x.masked_fill(~mask, torch.finfo(x.dtype).min)
    return nn.functional.max_pool2d(x, (time, frequency), ceil_mode=True)


@frontends.register("vgg")
class VggFrontend(Frontend):
    """VGG: pairs of 3 × 3 convolutions with an activation after the second, then max-pooling.

    Args:
        input_dim: F.
        channels: Channels of each pair.
        time_pools: Pooling over time after each pair.
        frequency_pools: Pooling over frequency after each pair.
        activation: After the second convolution of each pair.

    Raises:
        ValueError: If the lists have different lengths.

    Source: Simonyan and Zisserman 2015, as used in hybrid Conformers (one activation per pair).
    """

    def __init__(
        self,
        input_dim: int,
        channels: list[int],
        time_pools: list[int],
        frequency_pools: list[int],
        activation: Factory[Activation] = ReLU,
    ) -> None:
        super().__init__()
        self.activation = activation()
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
        frequencies = int(shortened(torch.tensor(input_dim, device="cpu"), frequency_pools))
        self.dim = channels[-1] * frequencies

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns ceil(length / pool), pool by pool."""
        return shortened(lengths, self.time_pools)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns frames (B, T', D) and their lengths (B,)."""
        x = x.unsqueeze(1)  # (B, T, F) -> (B, 1, T, F)
        for pair, time, frequency in zip(
            self.pairs, self.time_pools, self.frequency_pools, strict=True
        ):
            assert isinstance(pair, nn.ModuleList)
            mask = length_mask(lengths, x.shape[2])[:, None, :, None]
            x = pair[0](x.masked_fill(~mask, 0.0)).masked_fill(~mask, 0.0)
            x = max_pooled(self.activation(pair[1](x)), lengths, time, frequency)
            lengths = shortened(lengths, [time])
        x = x.masked_fill(~length_mask(lengths, x.shape[2])[:, None, :, None], 0.0)
        return x.permute(0, 2, 1, 3).flatten(2), lengths


@frontends.register("sinusoidal")
class AddedSinusoids(Frontend):
    """Adds sinusoids of the position to every frame; lengths stay the same.

    Args:
        input_dim: F, which is also D.
        scale: Factor of the frames before the addition; the square root of D where null.
        layout: Sines first and then cosines (halves), or in turn (interleaved).

    Source: Vaswani et al. 2017, section 3.5.
    """

    def __init__(
        self, input_dim: int, scale: float | None = None, layout: Layout = "halves"
    ) -> None:
        super().__init__()
        self.dim, self.layout = input_dim, layout
        self.scale = input_dim**0.5 if scale is None else scale

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns the same lengths."""
        return lengths

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns frames (B, T, D) and the same lengths (B,)."""
        places = torch.arange(x.shape[1], device=x.device)
        return x * self.scale + sinusoids(places, self.dim, self.layout).to(x.dtype), lengths


@frontends.register("frame_stacking")
class FrameStacking(Frontend):
    """Stacks each frame with its neighbours, then keeps every stride-th frame.

    Args:
        input_dim: F.
        window: Number of frames to stack.
        stride: Frames from one window to the next.
        dim: D of a linear layer after the stacking; no such layer where null.
        right: How many frames of a window come after its own; the others come before it.

    Raises:
        ValueError: If the frame itself is not in its window.
    """

    def __init__(
        self, input_dim: int, window: int, stride: int, dim: int | None = None, right: int = 0
    ) -> None:
        super().__init__()
        if not 0 <= right < window:
            raise ValueError(f"right ({right}) must be at least 0 and below window ({window})")
        self.window, self.stride, self.right = window, stride, right
        stacked = input_dim * window
        self.dim = stacked if dim is None else dim
        self.output = nn.Identity() if dim is None else nn.Linear(stacked, dim)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns ceil(length / stride)."""
        return shortened(lengths, [self.stride])

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns frames (B, T', D) and their lengths (B,)."""
        if self.right:
            x = zero_padding(x, length_mask(lengths, x.shape[1]))
        padded = nn.functional.pad(x, (0, 0, self.window - 1 - self.right, self.right))
        windows = padded.unfold(1, self.window, self.stride)  # (B, T', F, window)
        stacked = windows.transpose(2, 3).flatten(2)
        return self.output(stacked), self.output_lengths(lengths)
