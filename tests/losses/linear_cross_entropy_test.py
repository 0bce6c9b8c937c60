"""Cross-entropy made in chunks is that of all logits at once, gradients too."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from asrkit.losses.linear_cross_entropy import linear_cross_entropy

CLASSES = 6


def example() -> tuple[list[Tensor], Tensor]:
    torch.manual_seed(0)
    given = [torch.randn(size) for size in ((7, 4), (CLASSES, 4), (CLASSES,))]
    return [tensor.requires_grad_() for tensor in given], torch.randint(0, CLASSES, (7,))


def by_definition(given: list[Tensor], targets: Tensor, smoothing: float) -> Tensor:
    x, weight, bias = given
    wanted = torch.full((7, CLASSES), smoothing / (CLASSES - 1))
    wanted.scatter_(1, targets[:, None], 1 - smoothing)
    return -(wanted * (x @ weight.T + bias).log_softmax(1)).sum(1)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_values_and_gradients_are_those_of_the_definition(smoothing: float, chunk: int) -> None:
    given, targets = example()
    x, weight, bias = given
    found = linear_cross_entropy(x, weight, bias, targets, smoothing, chunk)
    expected = by_definition(given, targets, smoothing)
    torch.testing.assert_close(found.each, expected)
    torch.testing.assert_close(found.total, expected.sum())
    wrong = (x @ weight.T + bias).argmax(1) != targets
    assert int(found.errors) == int(wrong.sum())
    ours = torch.autograd.grad(0.5 * found.total, given)
    for gradient, wanted in zip(
        ours, torch.autograd.grad(0.5 * expected.sum(), given), strict=True
    ):
        torch.testing.assert_close(gradient, wanted)


def test_very_unlikely_targets_have_finite_losses() -> None:
    x, weight = torch.ones(1, 1), torch.tensor([[0.0], [500.0]])
    found = linear_cross_entropy(x, weight, None, torch.tensor([0]))
    assert float(found.total) == 500.0


def test_it_computes_in_the_precision_of_autocast() -> None:
    given, targets = example()
    x, weight, bias = given
    with torch.autocast("cpu", torch.bfloat16):
        found = linear_cross_entropy(x, weight, bias, targets)
    expected = by_definition(given, targets, 0.0)
    assert not torch.equal(found.each, expected)
    torch.testing.assert_close(found.each, expected, rtol=0.03, atol=0.03)
    found.total.backward()
    assert all(part.grad is not None and part.grad.dtype == torch.float32 for part in given)
