"""What given alignments spell, and their frames' cross-entropy."""

from __future__ import annotations

import pytest
import torch

from asrkit.lattice.alignments import aligned_labels
from asrkit.losses.frame_loss import frame_losses
from asrkit.losses.symbols import SigmoidBlank, SoftmaxBlank, SymbolDistribution

B = 5  # blank
SYMBOLS = torch.tensor([[B, 2, 2, B, 1, -1], [0, 0, B, 0, 3, 3], [B, B, B, -1, -1, -1]])


def test_every_label_counts_where_none_is_repeated() -> None:
    found = aligned_labels(SYMBOLS, B, repeats=False)
    assert found.label_lengths.tolist() == [3, 5, 0]
    assert found.labels.tolist() == [[2, 2, 1, 0, 0], [0, 0, 0, 3, 3], [0] * 5]
    assert found.before[:2].tolist() == [[0, 0, 1, 2, 2, 3], [0, 1, 2, 2, 3, 4]]


def test_repeated_labels_are_one() -> None:
    found = aligned_labels(SYMBOLS, B, repeats=True)
    assert found.label_lengths.tolist() == [2, 3, 0]
    assert found.labels.tolist() == [[2, 1, 0], [0, 0, 3], [0, 0, 0]]
    assert found.before[:2].tolist() == [[0, 0, 1, 1, 1, 2], [0, 1, 1, 1, 2, 3]]


def test_alignments_may_have_no_label() -> None:
    found = aligned_labels(torch.full((2, 3), B), B, repeats=False)
    assert found.labels.shape == (2, 0)
    assert found.before.tolist() == [[0] * 3] * 2


@pytest.mark.parametrize("blank", [SoftmaxBlank(), SigmoidBlank()])
@pytest.mark.parametrize("focal", [0.0, 2.0])
def test_frame_losses_and_gradients_are_those_of_log_probabilities(
    blank: SymbolDistribution, focal: float
) -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 6, B + 1, dtype=torch.float64, requires_grad=True)
    symbols = SYMBOLS.clamp(min=0)
    said = blank.log_probs(logits).gather(2, symbols[..., None])[..., 0]
    expected = -((1 - said.exp()) ** focal) * said
    losses = frame_losses(logits, symbols, blank, focal)
    torch.testing.assert_close(losses, expected)
    weights = torch.rand(3, 6, dtype=torch.float64)
    (found,) = torch.autograd.grad((losses * weights).sum(), logits)
    (wanted,) = torch.autograd.grad((expected * weights).sum(), logits)
    torch.testing.assert_close(found, wanted)


def test_labels_are_smoothed_in_the_gradient() -> None:
    logits = torch.zeros(1, 4, requires_grad=True)
    losses = frame_losses(logits, torch.tensor([1]), SigmoidBlank(label_smoothing=0.3))
    (found,) = torch.autograd.grad(losses.sum(), logits)
    # Softmax 1/3 less targets 0.15, 0.7, 0.15; emission 0.5 less 1.
    wanted = torch.tensor([[1 / 3 - 0.15, 1 / 3 - 0.7, 1 / 3 - 0.15, -0.5]])
    torch.testing.assert_close(found, wanted)
