"""Frontends: lengths, padding, and equality with torch layers on one utterance alone."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from asrkit.config.registry import Factory
from asrkit.nn.activations import GELU
from asrkit.nn.conv2d import Conv2dFrontend
from asrkit.nn.positions import sinusoids
from asrkit.nn.resampling import (
    AddedSinusoids,
    FrameStacking,
    Frontend,
    FrontendStack,
    VggFrontend,
)

FRONTENDS: list[Factory[Frontend]] = [
    partial(Conv2dFrontend, channels=[3, 4], strides=[3, 2], kernel_sizes=[5, 3], dim=8),
    partial(Conv2dFrontend, channels=[3], strides=[2], dim=8, activation=GELU),
    partial(
        Conv2dFrontend,
        channels=[3, 4],
        strides=[1, 2],
        dim=None,
        time_pools=[3, 1],
        frequency_pools=[2, 1],
        activation=GELU,
    ),
    partial(Conv2dFrontend, channels=[3, 4], strides=[3, 2], dim=8, bias=False, windows="middle"),
    partial(VggFrontend, channels=[3, 4], time_pools=[2, 2], frequency_pools=[2, 1]),
    partial(VggFrontend, channels=[3], time_pools=[3], frequency_pools=[2], activation=GELU),
    partial(FrameStacking, window=3, stride=3, dim=8),
    partial(FrameStacking, window=4, stride=2, right=2),
    AddedSinusoids,
]


@pytest.mark.parametrize("make", FRONTENDS)
@pytest.mark.parametrize("padding", [1e4, float("nan")])
def test_output_is_that_of_each_utterance_alone(make: Factory[Frontend], padding: float) -> None:
    torch.manual_seed(0)
    stack = FrontendStack([make], input_dim=6)
    lengths = torch.tensor([13, 12, 7, 1])
    features = torch.randn(4, 13, 6)
    for row, length in enumerate(lengths.tolist()):
        features[row, length:] = padding
    frames, shorter = stack(features, lengths)
    assert frames.shape[2] == stack.dim
    assert shorter.tolist() == stack.output_lengths(lengths).tolist()
    for row, length in enumerate(lengths.tolist()):
        alone, _ = stack(features[row : row + 1, :length], lengths[row : row + 1])
        assert alone.shape[1] == int(shorter[row])
        torch.testing.assert_close(frames[row, : alone.shape[1]], alone[0], rtol=1e-4, atol=1e-5)
    valid = sum(frames[row, : int(n)].square().sum() for row, n in enumerate(shorter))
    assert isinstance(valid, torch.Tensor)
    if list(stack.parameters()):
        for gradient in torch.autograd.grad(valid, list(stack.parameters())):
            assert bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize("make", FRONTENDS)
def test_the_order_in_memory_outside_of_training_changes_no_result(make: Factory[Frontend]) -> None:
    torch.manual_seed(0)
    stack = FrontendStack([make], input_dim=6)
    features, lengths = torch.randn(4, 13, 6), torch.tensor([13, 12, 7, 1])
    trained = stack.train()(features, lengths)[0]
    torch.testing.assert_close(stack.eval()(features, lengths)[0], trained, rtol=1e-4, atol=1e-5)


def test_a_window_holds_the_current_frame_and_those_before() -> None:
    features = torch.arange(1.0, 8.0).view(1, 7, 1)
    frames, lengths = FrameStacking(1, window=3, stride=3)(features, torch.tensor([7]))
    assert frames[0].tolist() == [[0.0, 0.0, 1.0], [2.0, 3.0, 4.0], [5.0, 6.0, 7.0]]
    assert lengths.tolist() == [3]


def test_sinusoids_are_added() -> None:
    features = torch.randn(2, 5, 6)
    frames, _ = AddedSinusoids(6, scale=2.0)(features, torch.tensor([5, 4]))
    torch.testing.assert_close(frames, 2 * features + sinusoids(torch.arange(5), 6))


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="one entry per convolution"):
        Conv2dFrontend(6, [3, 4], [2], 8)
    with pytest.raises(ValueError, match=r"kernel_sizes \[4\] must be odd"):
        Conv2dFrontend(6, [3], [2], 8, kernel_sizes=[4])
    with pytest.raises(ValueError, match="one entry per pair"):
        VggFrontend(6, [3], [2, 2], [1])


def test_windows_may_reach_to_the_right() -> None:
    features = torch.arange(1.0, 8.0)[None, :, None]  # 1 to 7
    frames, lengths = FrameStacking(1, window=4, stride=3, right=1)(features, torch.tensor([7]))
    assert frames[0].tolist() == [[0, 0, 1, 2], [2, 3, 4, 5], [5, 6, 7, 0]]
    assert lengths.tolist() == [3]
    with pytest.raises(ValueError, match=r"right \(3\) must be at least 0 and below window \(3\)"):
        FrameStacking(1, window=3, stride=3, right=3)
