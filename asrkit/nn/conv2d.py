"""The frontend of strided convolutions over time and frequency, with max-pooling where wanted."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrkit.config.registry import Factory
from asrkit.nn.activations import Activation, ReLU
from asrkit.nn.masking import length_mask, zero_padding
from asrkit.nn.resampling import Frontend, frontends, max_pooled, shortened


@frontends.register("conv2d")
class Conv2dFrontend(Frontend):
    """Strided convolutions over time and frequency with activations, then a linear layer.

    Args:
        input_dim: F.
        channels: Channels of each convolution.
        strides: Stride of each convolution in time and frequency.
        dim: D of the linear layer; no such layer where null, D being channels times frequencies.
        frequency_strides: Strides in frequency where they differ from those in time.
        kernel_sizes: Kernel size of each convolution, in time and frequency; 3 where null.
        activation: After each convolution.
        time_pools: Max-pooling over time after each activation; none where null.
        frequency_pools: Max-pooling over frequency after each activation; none where null.
        bias: Whether the linear layer has biases.
        windows: Where the windows of a strided convolution are in time: the first one around the
            first frame (first), or all of them in the middle of what they have to cover, so that
            the padding before and after an utterance is the same, or one more after it (middle);
            or only those without any padding, in time and frequency (whole).

    Raises:
        ValueError: If the lists have different lengths, or a kernel size is even.

    Source: "same" padding of TensorFlow, and of rwth-i6/returnn before its behavior version 24,
        returnn/torch/frontend/_backend.py (middle; there by the longest utterance of a batch, here
        by each one's own length).
    """

    def __init__(
        self,
        input_dim: int,
        channels: list[int],
        strides: list[int],
        dim: int | None,
        frequency_strides: list[int] | None = None,
        kernel_sizes: list[int] | None = None,
        activation: Factory[Activation] = ReLU,
        time_pools: list[int] | None = None,
        frequency_pools: list[int] | None = None,
        bias: bool = True,
        windows: Literal["first", "middle", "whole"] = "first",
    ) -> None:
        super().__init__()
        ones = [1] * len(channels)
        across = strides if frequency_strides is None else frequency_strides
        kernels = [3] * len(channels) if kernel_sizes is None else kernel_sizes
        self.time_pools = ones if time_pools is None else time_pools
        self.frequency_pools = ones if frequency_pools is None else frequency_pools
        lists = (channels, strides, across, kernels, self.time_pools, self.frequency_pools)
        if len({len(each) for each in lists}) > 1:
            raise ValueError(
                f"channels {channels}, strides {strides}, frequency_strides {across}, "
                f"kernel_sizes {kernels}, time_pools {self.time_pools} and frequency_pools "
                f"{self.frequency_pools} must have one entry per convolution each"
            )
        if any(kernel % 2 == 0 for kernel in kernels):
            raise ValueError(
                f"kernel_sizes {kernels} must be odd: an even kernel has no middle frame"
            )
        self.activation = activation()
        self.strides, self.kernels, self.windows = strides, kernels, windows
        inputs = [1, *channels[:-1]]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, k, stride=(s, a), padding=self._padding(k))
            for i, o, k, s, a in zip(inputs, channels, kernels, strides, across, strict=True)
        )
        frequencies = torch.tensor(input_dim, device="cpu")
        for kernel, stride, pool in zip(kernels, across, self.frequency_pools, strict=True):
            frequencies = shortened(self._convolved(frequencies, kernel, stride), [pool])
        merged = channels[-1] * int(frequencies)
        self.dim = merged if dim is None else dim
        self.output = nn.Identity() if dim is None else nn.Linear(merged, dim, bias=bias)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns ceil(length / stride), or how many whole windows there are; at least one."""
        for kernel, stride, pool in zip(self.kernels, self.strides, self.time_pools, strict=True):
            lengths = shortened(self._convolved(lengths, kernel, stride), [pool])
        return lengths

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns frames (B, T', D) and their lengths (B,)."""
        x = self._one_channel(zero_padding(x, length_mask(lengths, x.shape[1])))
        pools = zip(self.time_pools, self.frequency_pools, strict=True)
        for convolution, (time, frequency) in zip(self.convolutions, pools, strict=True):
            assert isinstance(convolution, nn.Conv2d)
            convolve = centred if self.windows == "middle" else _plain
            x = self.activation(convolve(convolution, x, lengths))
            kernel, stride = convolution.kernel_size[0], convolution.stride[0]
            lengths = self._convolved(lengths, kernel, stride)
            if time > 1 or frequency > 1:
                x = max_pooled(x, lengths, time, frequency)
                lengths = shortened(lengths, [time])
            x = x * length_mask(lengths, x.shape[2])[:, None, :, None]
        frames = x.permute(0, 2, 1, 3).flatten(2)  # (B, C, T', F') -> (B, T', C·F')
        return self.output(frames), lengths

    def _padding(self, kernel: int) -> int:
        return 0 if self.windows == "whole" else kernel // 2

    def _convolved(self, sizes: Tensor, kernel: int, stride: int) -> Tensor:
        """Returns how many windows (...) there are in sizes (...), of frames or frequencies."""
        if self.windows == "whole":
            return torch.div(sizes - kernel + stride, stride, rounding_mode="floor").clamp(min=1)
        return shortened(sizes, [stride])

    def _one_channel(self, x: Tensor) -> Tensor:
        """Returns (B, 1, T, F) for (B, T, F), with channels last in memory where that is faster.

        The convolutions keep this layout. On a CPU it halves the time of the forward pass, but
        training takes almost twice as long because of the backward pass.
        """
        if self.training or x.device.type != "cpu":
            return x.unsqueeze(1)
        return x.unsqueeze(3).permute(0, 3, 1, 2)


def _plain(convolution: nn.Conv2d, x: Tensor, lengths: Tensor) -> Tensor:
    """Returns the convolution (B, C', T', F') of (B, C, T, F), its first window as they come."""
    short = convolution.kernel_size[0] - 2 * int(convolution.padding[0]) - x.shape[2]
    x = F.pad(x, (0, 0, 0, short)) if short > 0 else x  # one window at least
    convolved: Tensor = convolution(x)
    return convolved


def centred(convolution: nn.Conv2d, x: Tensor, lengths: Tensor) -> Tensor:
    """Applies a convolution whose windows are in the middle of each utterance.

    Args:
        convolution: Its stride in time may be more than 1.
        x: (B, C, T, F), zero beyond the lengths.
        lengths: (B,) frames of each utterance.

    Returns:
        (B, C', T', F') with T' = ceil(T / stride).
    """
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    covered = kernel - 1 - (lengths - 1) % stride  # more than an utterance has, by this much
    before = torch.div(covered, 2, rounding_mode="floor")  # (B,); negative: frames are not seen
    size = (x.shape[2] - 1) // stride * stride + kernel
    places = torch.arange(size, device=x.device) + (kernel - before[:, None])  # (B, T + ...)
    padded = F.pad(x, (0, 0, kernel, kernel + stride))
    moved = padded.gather(2, places[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))
    padding = (0, int(convolution.padding[1]))
    return F.conv2d(moved, convolution.weight, convolution.bias, convolution.stride, padding)
