"""The convolution sublayer: which frames it sees."""

from __future__ import annotations

import pytest
import torch

from asrkit.nn.convolution import Convolution
from asrkit.nn.norms import LayerNorm
from asrkit.nn.spans import CausalSpan, FullSpan


@pytest.mark.parametrize(
    ("kernel_size", "causal", "expected"),
    [(5, False, [3, 4, 5, 6, 7]), (4, False, [4, 5, 6, 7]), (4, True, [2, 3, 4, 5])],
)
def test_a_frame_sees_the_documented_neighbours(
    kernel_size: int, causal: bool, expected: list[int]
) -> None:
    torch.manual_seed(0)
    layer = Convolution(6, kernel_size, norm=LayerNorm)
    x = torch.randn(1, 11, 6, requires_grad=True)
    context = (CausalSpan() if causal else FullSpan()).context(torch.tensor([11]), 11)
    (gradient,) = torch.autograd.grad(layer(x, context)[0, 5].square().sum(), x)
    assert gradient[0].abs().sum(1).nonzero().flatten().tolist() == expected


def test_kernels_must_be_positive() -> None:
    with pytest.raises(ValueError, match=r"kernel_size \(0\)"):
        Convolution(6, 0)
