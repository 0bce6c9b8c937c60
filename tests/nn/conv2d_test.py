"""The convolutional frontend against sums written down in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from asrkit.nn.conv2d import Conv2dFrontend

Array = NDArray[np.float64]


def same(size: int, kernel: int, stride: int, middle: bool) -> tuple[int, int]:
    """Returns how many windows there are, and where the first one starts."""
    count = -(-size // stride)
    too_much = (count - 1) * stride + kernel - size
    return count, -(too_much // 2 if middle else kernel // 2)


def convolved(
    x: Array, weight: Array, bias: Array, strides: tuple[int, int], middle: bool
) -> Array:
    """Returns sums (C', T', F') over windows of (C, T, F), which is zero outside."""
    kernel = weight.shape[2]
    frames, first = same(x.shape[1], kernel, strides[0], middle)
    bands, lowest = same(x.shape[2], kernel, strides[1], False)
    found = np.tile(bias[:, None, None], (1, frames, bands))
    for out, t, f, i, j in np.ndindex(len(weight), frames, bands, kernel, kernel):
        row, column = first + t * strides[0] + i, lowest + f * strides[1] + j
        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
            found[out, t, f] += weight[out, :, i, j] @ x[:, row, column]
    return found


def pooled(x: Array, time: int, frequency: int) -> Array:
    rows, columns = range(0, x.shape[1], time), range(0, x.shape[2], frequency)
    blocks = [[x[:, t : t + time, f : f + frequency].max((1, 2)) for f in columns] for t in rows]
    return np.array(blocks).transpose(2, 0, 1)


@pytest.mark.parametrize(
    "options",
    [
        {"strides": [1, 3], "frequency_strides": [1, 1], "frequency_pools": [2, 1], "bias": False},
        {"strides": [3, 2], "frequency_strides": [1, 2], "windows": "middle"},
        {"strides": [1, 2], "time_pools": [2, 1], "frequency_pools": [1, 3], "windows": "middle"},
        {"strides": [2, 4], "frequency_strides": [1, 1], "time_pools": [1, 2], "windows": "middle"},
    ],
)
@pytest.mark.parametrize("length", [7, 8, 9])
@torch.no_grad()
def test_frames_are_sums_over_windows(options: dict[str, Any], length: int) -> None:
    torch.manual_seed(0)
    frontend = Conv2dFrontend(5, [2, 3], dim=4, **options).double()
    x = torch.randn(1, length, 5, dtype=torch.float64)
    found, lengths = frontend(x, torch.tensor([length]))
    expected, middle = x[:1].numpy(), options.get("windows") == "middle"
    across = options.get("frequency_strides", options["strides"])
    times, bands = (options.get(name, [1, 1]) for name in ("time_pools", "frequency_pools"))
    for n, layer in enumerate(frontend.convolutions):
        assert isinstance(layer, torch.nn.Conv2d)
        assert layer.bias is not None
        strides = (options["strides"][n], across[n])
        parameters = (layer.weight.numpy(), layer.bias.numpy())
        expected = np.maximum(convolved(expected, *parameters, strides, middle), 0)
        expected = pooled(expected, times[n], bands[n])
    frames = torch.tensor(expected.transpose(1, 0, 2).reshape(expected.shape[1], -1))
    assert lengths.tolist() == [len(frames)]
    torch.testing.assert_close(found[0], frontend.output(frames))
    assert isinstance(frontend.output, torch.nn.Linear)
    assert (frontend.output.bias is None) == (options.get("bias") is False)


def test_without_a_linear_layer_frames_are_channels_times_frequencies() -> None:
    frontend = Conv2dFrontend(80, [32, 64], [1, 2], None, [1, 1], frequency_pools=[2, 2])
    assert frontend.dim == 64 * 20
    frames, _ = frontend(torch.randn(1, 9, 80), torch.tensor([9]))
    assert frames.shape == (1, 5, 64 * 20)
    assert not [name for name, _ in frontend.named_parameters() if name.startswith("output")]
