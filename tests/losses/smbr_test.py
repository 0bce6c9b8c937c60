"""sMBR: expected errors equal enumeration, their gradient finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from asrkit.losses.dual_sums import dual_sums
from asrkit.losses.mmi import Chunk, denominator_sums, mmi_loss, scaled_exps
from asrkit.losses.mmi_graphs import Numerator, NumeratorCompiler
from asrkit.losses.sequence_criteria import Competition, Mmi, Smbr
from asrkit.losses.smbr import Risk, Silence, Unit, alike, smbr_loss
from tests.losses.mmi_test import FRAMES, STATES, graph, moves, scores_of

LENGTHS = torch.tensor([3, 2])
SYMBOLS = [0, 1, 2, 3, 3, 3]


def said(symbols: list[int] = SYMBOLS, step: int = 1, tolerance: int = 0) -> Numerator:
    frames = -(-len(symbols) // step)
    found = NumeratorCompiler(graph(), step, tolerance)(np.array(symbols, np.int32), frames)
    assert found is not None
    return found


def risk(scores: Tensor, lengths: Tensor, chunks: list[Chunk], unit: Unit = "states") -> Risk:
    return smbr_loss(scores, lengths, chunks, graph(), 0.1, alike(graph(), unit, STATES))


def paths(frames: int, leak: float) -> list[tuple[float, list[int]]]:
    """The weight and the tied states of every path, leaks among them."""
    given = graph()
    found = [(float(weight), n, list[int]()) for n, weight in enumerate(given.initial)]
    for _ in range(frames):
        leaked = [
            (weight * leak * float(given.initial[n]), n, states)
            for weight, _, states in found
            for n in range(len(given.initial))
        ]
        found = [
            (weight * factor, target, [*states, state])
            for weight, at, states in (*found, *leaked)
            for source, target, state, factor in moves(given)
            if source == at
        ]
    return [(weight, states) for weight, _, states in found]


def test_accuracies_and_their_gradients_are_those_of_all_paths() -> None:
    scores, leak = scores_of(), 0.2
    accuracy = torch.rand(2, FRAMES, STATES, dtype=torch.float64)
    exps, constants = scaled_exps(scores, LENGTHS)
    rates = accuracy.permute(1, 2, 0).contiguous()
    found = dual_sums(exps, rates, LENGTHS, graph(), leak)
    for b, length in enumerate(LENGTHS.tolist()):
        frames, every = range(length), paths(length, leak)
        likely = torch.tensor([w * scores[b, frames, s].sum().exp() for w, s in every]).double()
        right = torch.tensor([accuracy[b, frames, s].sum() for _, s in every]).double()
        visits = torch.tensor([s for _, s in every])[..., None] == torch.arange(STATES)
        share = likely / likely.sum()
        mean = (share * right).sum()
        gradient = torch.einsum("p,ptv->tv", share * (right - mean), visits.double())
        assert float(found.totals[b] + constants[b]) == pytest.approx(float(likely.sum().log()))
        assert float(found.accuracies[b]) == pytest.approx(float(mean))
        torch.testing.assert_close(found.posteriors[1, :length, :, b], gradient)
        assert not found.posteriors[:, length:, :, b].any()


def test_gradients_are_those_of_finite_differences() -> None:
    """Without tolerance what was said has one path, whatever the scores."""
    chunks = [Chunk(said(), 0), Chunk(said(), 0)]

    def losses(scores: Tensor) -> tuple[Tensor, Tensor]:
        found = risk(scores, LENGTHS, chunks)
        return found.errors, found.mmi

    assert torch.autograd.gradcheck(losses, scores_of().requires_grad_())


def test_mmi_comes_with_it() -> None:
    chunks, scores = [Chunk(said(step=2, tolerance=2), 0)] * 2, scores_of().requires_grad_()
    found = risk(scores, LENGTHS, chunks)
    loss, posteriors = mmi_loss(scores, LENGTHS, chunks, graph(), 0.1)
    torch.testing.assert_close(found.mmi, loss)
    torch.testing.assert_close(found.said, posteriors)
    gradients = [torch.autograd.grad(each.sum(), scores)[0] for each in (found.mmi, loss)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(("unit", "silent", "silence", "right"), [
    ("states", (), "right", [[0], [1], [2]]), ("phones", (), "right", [[0, 1], [0, 1], [2, 3]]),
    ("states", (1,), "right", [[0], [1], [2, 3]]), ("states", (1,), "wrong", [[0], [1], []]),
    ("phones", (0,), "wrong", [[], [], [2, 3]]), ("states", (0, 1), "right", [[0, 1, 2, 3]] * 3),
])  # fmt: skip
def test_what_is_right_is_a_state_or_a_phone_or_silence(
    unit: Unit, silent: tuple[int, ...], silence: Silence, right: list[list[int]]
) -> None:
    classes = alike(graph(), unit, STATES, silent, silence)
    scores, small = scores_of(1), 1e-5
    marks = torch.zeros(1, FRAMES, STATES, dtype=torch.float64)
    for t, states in enumerate(right):
        marks[0, t, states] = small
    length, chunks = torch.tensor([FRAMES]), [Chunk(said(), 0)]
    more, less = (
        denominator_sums(scores + change, length, graph(), 0.1)[0] for change in (marks, -marks)
    )
    accuracy = float(more - less) / (2 * small)
    found = smbr_loss(scores, length, chunks, graph(), 0.1, classes)
    assert found.errors.item() == pytest.approx(FRAMES - accuracy, abs=1e-6)


def test_neither_padding_nor_the_batch_changes_a_loss() -> None:
    chunks, scores = [Chunk(said(step=2, tolerance=2), 0), Chunk(said(), 0)], scores_of()
    scores[1, 2:] = 50.0
    together = risk(scores.requires_grad_(), LENGTHS, chunks)
    (gradient,) = torch.autograd.grad(together.errors.sum(), scores)
    alone = scores[1:, :2].detach().requires_grad_()
    found = risk(alone, LENGTHS[1:], chunks[1:])
    (expected,) = torch.autograd.grad(found.errors.sum(), alone)
    torch.testing.assert_close(together.errors[1:], found.errors)
    torch.testing.assert_close(gradient[1:, :2], expected)
    assert not gradient[1, 2:].any()


def test_without_a_path_there_is_no_loss_and_no_gradient() -> None:
    scores = scores_of().requires_grad_()
    found = risk(scores, LENGTHS, [Chunk(said([0, 1, 0]), 0), Chunk(None, 0)])
    (found.errors + found.mmi).sum().backward()
    assert found.errors.tolist() == found.mmi.tolist() == [0, 0]
    assert scores.grad is not None
    assert not scores.grad.any()


def test_many_frames_in_single_precision_are_as_in_double() -> None:
    scores = 4 * scores_of(3, 400)
    symbols = [0, 1, 1, 1, *([2, 3, 3, 3] * 99)]
    chunks, lengths = [Chunk(said(symbols, tolerance=1), 0)] * 3, torch.tensor([400, 399, 10])
    found = []
    for exact in (scores, scores.float()):
        exact.requires_grad_()
        result = risk(exact, lengths, chunks)
        (gradient,) = torch.autograd.grad(result.errors.sum(), exact)
        found.append((result.errors, gradient))
    (errors, gradient), (rounded, other) = found
    torch.testing.assert_close(rounded, errors.float(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(other, gradient.float(), rtol=1e-3, atol=1e-4)


def test_criteria_are_weighted_sums() -> None:
    scores, against = scores_of(), Competition(graph(), 0.1)
    chunks = [Chunk(said(), 0)] * 2
    found = risk(scores, LENGTHS, chunks)
    judged = Smbr(mmi=0.5)(scores, LENGTHS, chunks, against)
    torch.testing.assert_close(judged.losses, found.errors + 0.5 * found.mmi)
    torch.testing.assert_close(judged.statistics["errors"], found.errors)
    torch.testing.assert_close(Mmi()(scores, LENGTHS, chunks, against).losses, found.mmi)
    with pytest.raises(ValueError, match="mmi"):
        Smbr(mmi=-0.1)


def test_outputs_without_a_tied_state_change_nothing() -> None:
    scores, chunks = scores_of(), [Chunk(said(), 0)] * 2
    wider = torch.cat([scores, torch.full((2, FRAMES, 2), -9.0)], dim=2)
    expected = risk(scores, LENGTHS, chunks).errors
    classes = alike(graph(), "phones", STATES + 2)
    assert len(classes) == STATES + 2
    found = smbr_loss(wider, LENGTHS, chunks, graph(), 0.1, alike(graph(), "states", 6))
    torch.testing.assert_close(found.errors, expected)
