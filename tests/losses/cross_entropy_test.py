"""Cross-entropy against torch's own and against its definition."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.losses.cross_entropy import cross_entropy, label_errors

MASK = torch.tensor([[True, True, True, True], [True, True, False, False]])
CLASSES = 6


def example() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    logits = 3 * torch.randn(2, 4, CLASSES, dtype=torch.float32)
    return logits.requires_grad_(), torch.randint(0, CLASSES, (2, 4))


def by_definition(logits: Tensor, targets: Tensor, smoothing: float, focal: float) -> Tensor:
    wanted = torch.full_like(logits, smoothing / (CLASSES - 1))
    wanted.scatter_(2, targets[..., None], 1 - smoothing)
    losses = -(wanted * logits.log_softmax(2)).sum(2)
    probability = logits.softmax(2).gather(2, targets[..., None]).squeeze(2)
    return (losses * (1 - probability) ** focal * MASK).sum(1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("focal", [0.0, 0.5, 2.0])
def test_values_and_gradients_are_those_of_the_definition(smoothing: float, focal: float) -> None:
    logits, targets = example()
    found = cross_entropy(logits, targets, MASK, smoothing, focal)
    expected = by_definition(logits, targets, smoothing, focal)
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    (wanted,) = torch.autograd.grad(expected.sum(), logits)
    torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_torch_agrees_once_its_smoothing_spares_the_target(smoothing: float) -> None:
    logits, targets = example()
    ours = smoothing * (CLASSES - 1) / CLASSES  # torch gives a share to the target as well
    expected = F.cross_entropy(
        logits.flatten(0, 1),
        targets.masked_fill(~MASK, -100).flatten(),
        label_smoothing=smoothing,
        reduction="sum",
    )
    torch.testing.assert_close(cross_entropy(logits, targets, MASK, ours).sum(), expected)


@pytest.mark.parametrize("focal", [0.0, 2.0])
def test_padding_has_no_say(focal: float) -> None:
    logits, targets = example()
    clean = cross_entropy(logits, targets, MASK, 0.1, focal)
    dirty_logits = logits.detach().masked_fill(~MASK[..., None], 1e30).requires_grad_()
    dirty_targets = (targets + 1) % CLASSES
    dirty = cross_entropy(dirty_logits, torch.where(MASK, targets, dirty_targets), MASK, 0.1, focal)
    torch.testing.assert_close(dirty, clean)
    dirty.sum().backward()
    assert dirty_logits.grad is not None
    assert float(dirty_logits.grad[~MASK].abs().max()) == 0.0
    wrong = label_errors(dirty_logits, torch.where(MASK, targets, dirty_targets), MASK)
    assert int(wrong) == int(label_errors(logits, targets, MASK))


def test_a_certain_target_has_a_finite_gradient() -> None:
    logits = torch.tensor([[[100.0, 0.0]]], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([[0]]), torch.tensor([[True]]), focal=0.5)
    loss.sum().backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


def test_errors_count_valid_positions_only() -> None:
    logits = F.one_hot(torch.tensor([[0, 1, 2, 3], [4, 5, 0, 1]]), CLASSES).float()
    targets = torch.tensor([[0, 1, 0, 0], [4, 0, 5, 5]])
    assert int(label_errors(logits, targets, MASK)) == 3
