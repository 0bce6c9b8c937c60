"""The CTC loss against the sum over all alignments, one by one."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.lattice.topologies import min_frames
from asrkit.losses.ctc import Smoothed, ctc_loss, smoothed_ctc_loss

BLANK = 2
FRAMES = 4
LABELS = [[], [0], [0, 0], [0, 1], [1, 1, 0]]


def by_enumeration(log_probs: Tensor, labels: list[int]) -> float:
    """Returns -log of the summed probability of all frame sequences (T,) that say the labels."""
    paths = itertools.product(range(BLANK + 1), repeat=len(log_probs))
    total = 0.0
    for path in paths:
        if [symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK] == labels:
            total += math.exp(sum(float(log_probs[t, s]) for t, s in enumerate(path)))
    return -math.log(total) if total else math.inf


@pytest.mark.parametrize("length", range(FRAMES + 1))
def test_losses_sum_over_all_alignments(length: int) -> None:
    torch.manual_seed(length)
    log_probs = torch.randn(len(LABELS), FRAMES, BLANK + 1).log_softmax(2)
    padded = torch.tensor([labels + [1] * (3 - len(labels)) for labels in LABELS])
    sizes = torch.tensor([len(labels) for labels in LABELS])
    losses, feasible = ctc_loss(log_probs, torch.full_like(sizes, length), padded, sizes)
    for row, labels in enumerate(LABELS):
        expected = by_enumeration(log_probs[row, :length], labels)
        assert bool(feasible[row]) == math.isfinite(expected)
        wanted = expected if math.isfinite(expected) else 0.0
        assert float(losses[row]) == pytest.approx(wanted, abs=1e-5)


def test_padded_frames_and_labels_have_no_say() -> None:
    torch.manual_seed(0)
    log_probs = torch.randn(2, FRAMES, BLANK + 1).log_softmax(2)
    lengths, sizes = torch.tensor([4, 2]), torch.tensor([2, 1])
    labels = torch.tensor([[0, 1], [1, 1]])
    clean, _ = ctc_loss(log_probs, lengths, labels, sizes)
    dirty = log_probs.clone()
    dirty[1, 2:] = 1e4
    dirty.requires_grad_()
    found, _ = ctc_loss(dirty, lengths, torch.tensor([[0, 1], [1, 0]]), sizes)
    torch.testing.assert_close(found, clean)
    found.sum().backward()
    assert dirty.grad is not None
    assert float(dirty.grad[1, 2:].abs().max()) == 0.0


def test_a_batch_without_labels_has_a_loss() -> None:
    log_probs = torch.randn(2, FRAMES, BLANK + 1).log_softmax(2).requires_grad_()
    nothing = torch.zeros(2, 0, dtype=torch.int64)
    sizes = torch.zeros(2, dtype=torch.int64)
    losses, feasible = ctc_loss(log_probs, torch.tensor([4, 3]), nothing, sizes)
    assert feasible.tolist() == [True, True]
    torch.testing.assert_close(losses[1], -log_probs[1, :3, BLANK].sum())
    losses.sum().backward()
    assert log_probs.grad is not None
    assert bool(log_probs.grad.isfinite().all())


def test_equal_neighbours_need_a_blank_between() -> None:
    labels = torch.tensor([[0, 0, 0, 1], [0, 1, 0, 1], [1, 1, 1, 1]])
    assert min_frames(labels, torch.tensor([4, 4, 2])).tolist() == [6, 4, 3]
    assert min_frames(labels[:, :1], torch.tensor([1, 0, 1])).tolist() == [1, 0, 1]


class PublishedSmoothing(torch.autograd.Function):
    """What rf.label_smoothed_log_prob_gradient does to a gradient (T, C) of log-probabilities."""

    @staticmethod
    def forward(ctx: Any, log_probs: Tensor, smoothing: float, excluded: list[int]) -> Tensor:
        ctx.smoothing, ctx.excluded = smoothing, excluded
        return log_probs.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        gradient, size = gradients[0], gradients[0].shape[1]
        floor = ctx.smoothing / (size - 1)
        smoothed = (1 - size * floor) * gradient + floor * gradient.sum(1, keepdim=True)
        smoothed[:, ctx.excluded] = gradient[:, ctx.excluded]
        return smoothed, None, None


@pytest.mark.parametrize("smoothed", ["symbols", "labels_and_blank"])
def test_smoothed_gradients_are_the_published_ones(smoothed: Smoothed) -> None:
    torch.manual_seed(3)
    logits = torch.randn(2, 5, 4, dtype=torch.double)
    labels, lengths = torch.tensor([[0, 2], [1, 1]]), torch.tensor([5, 4])
    own = logits.float().requires_grad_()
    given = (own.log_softmax(2), lengths, labels, torch.tensor([2, 2]))
    losses, _ = smoothed_ctc_loss(*given, 0.1, smoothed)
    assert torch.equal(losses, ctc_loss(*given)[0])
    (losses * torch.tensor([1.0, 3.0])).sum().backward()
    other = logits.clone().requires_grad_()
    excluded = [3] if smoothed == "labels_and_blank" else []
    for number, factor in enumerate((1.0, 3.0)):
        frames = other[number, : lengths[number]].log_softmax(1)
        scores = PublishedSmoothing.apply(frames, 0.1, excluded)  # type: ignore[no-untyped-call]
        paths = [
            sum(scores[t, symbol] for t, symbol in enumerate(path))
            for path in itertools.product(range(4), repeat=len(scores))
            if spelled(path) == labels[number].tolist()
        ]
        (-factor * torch.stack(paths).logsumexp(0)).backward()
    assert other.grad is not None
    torch.testing.assert_close(own.grad, other.grad.float(), rtol=1e-4, atol=1e-6)


def spelled(path: tuple[int, ...]) -> list[int]:
    return [symbol for symbol, _ in itertools.groupby(path) if symbol != 3]


def test_labels_smoothed_among_each_other_leave_blank_alone() -> None:
    logits = torch.randn(1, 5, 4)
    gradients = []
    for smoothing in (0.0, 0.2):
        own = logits.clone().requires_grad_()
        given = (own.log_softmax(2), torch.tensor([4]), torch.tensor([[0, 2]]), torch.tensor([2]))
        smoothed_ctc_loss(*given, smoothing, "labels")[0].sum().backward()
        assert own.grad is not None
        gradients.append(own.grad)
    plain, smoothed = gradients
    torch.testing.assert_close(plain[..., 3], smoothed[..., 3])
    torch.testing.assert_close(plain.sum(2), smoothed.sum(2))
    assert (plain - smoothed)[0, :4, :3].abs().min() > 1e-4
    assert not smoothed[0, 4].any(), "padding has no gradient"


def test_what_has_no_alignment_has_no_smoothed_gradient() -> None:
    own = torch.randn(1, 1, 3).requires_grad_()
    given = (own.log_softmax(2), torch.tensor([1]), torch.tensor([[0, 1]]), torch.tensor([2]))
    losses, feasible = smoothed_ctc_loss(*given, 0.1)
    losses.sum().backward()
    assert not feasible.any()
    assert own.grad is not None
    assert not own.grad.any()
