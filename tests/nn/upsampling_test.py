"""Upsampling by kernels that are longer than their stride, and to other numbers of values."""

from __future__ import annotations

import pytest
import torch

from asrkit.nn.activations import IdentityActivation
from asrkit.nn.upsampling import Repetition, TransposedConvolution


@pytest.mark.parametrize(
    ("factor", "kernel", "first"), [(2, 3, 0), (3, 3, 0), (2, 5, 1), (1, 3, 1)]
)
def test_frames_that_overlap_are_added(factor: int, kernel: int, first: int) -> None:
    torch.manual_seed(1)
    made = TransposedConvolution(4, factor, IdentityActivation, kernel_size=kernel, output_dim=5)
    assert made.dim == 5
    frames = torch.randn(2, 6, 4)
    weight, bias = made.convolution.weight, made.convolution.bias  # (4, 5, kernel)
    assert bias is not None
    expected = bias.expand(2, 5 * factor + kernel, 5).clone()
    for number in range(6):
        for place in range(kernel):
            expected[:, number * factor + place] += frames[:, number] @ weight[:, :, place]
    found = made(frames)
    torch.testing.assert_close(found, expected[:, first : first + 6 * factor])


def test_short_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"kernel_size \(2\) must be at least factor \(3\)"):
        TransposedConvolution(4, 3, kernel_size=2)
    assert Repetition(4, 3).dim == 4
