from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from asrkit.losses.mmi import Chunk, denominator_sums, mmi_loss, numerator_sums
from asrkit.losses.mmi_graphs import Denominator, Numerator, NumeratorCompiler

STATES, FRAMES = 4, 3


def graph(initial: tuple[float, ...] = (0.5, 0.3, 0.2)) -> Denominator:
    """Two phones, whose states are 0, 1 and 2, 3; nothing, the first or the second was said."""
    return Denominator(
        np.array([-1, 1, 3], np.int32),
        np.array([0, 0.5, 0.4], np.float32),
        np.array(initial, np.float32),
        np.array([0, 0, 1, 2, 2], np.int32),
        np.array([1, 2, 2, 1, 2], np.int32),
        np.array([0, 2, 2, 0, 2], np.int32),
        np.array([0.3, 0.2, 0.25, 0.35, 0.1], np.float32),
        np.array([0, 0, 1, 1], np.int32),
        np.array([True, False, True, False]),
        np.array([[-1, -1], [-1, 0], [-1, 1]], np.int32),
    )


def moves(given: Denominator) -> list[tuple[int, int, int, float]]:
    """From, to, tied state and weight of every way on."""
    arcs = zip(given.sources, given.targets, given.states, given.weights, strict=True)
    loops = zip(range(3), range(3), given.stays, given.stay_weights, strict=True)
    return [(int(a), int(b), int(s), float(w)) for a, b, s, w in (*arcs, *loops) if s >= 0]


def enumerated(given: Denominator, scores: Tensor, leak: float) -> Tensor:
    """The log of the sum over all paths, leaks among them."""
    total = torch.zeros((), dtype=torch.float64)
    jumps = [None, *range(3)]  # where a path moves before a frame; None for nowhere
    for start in range(3):
        for steps in product(moves(given), repeat=len(scores)):
            for leaks in product(jumps, repeat=len(scores)):
                at, weight = start, float(given.initial[start])
                value = torch.zeros((), dtype=torch.float64)
                for t, ((source, target, state, cost), jump) in enumerate(
                    zip(steps, leaks, strict=True)
                ):
                    if jump is not None:
                        at, weight = jump, weight * leak * float(given.initial[jump])
                    weight *= cost if at == source else 0
                    value = value + scores[t, state]
                    at = target
                if weight:
                    total = total + weight * value.exp()
    return total.log()


def paths_said(said: Numerator, begin: int, frames: int) -> list[tuple[list[int], float]]:
    """Tied states and weight of every path of a numerator."""
    found = []
    for place in range(len(said.firsts) + 1):
        if begin == 0 and place > 0:
            continue
        for entered in product((False, True), repeat=frames):
            at, states, weight = place, [], float(np.exp(said.initial[place]))
            for t, enters in enumerate(entered):
                at += enters
                k = at - 1
                if not 0 <= k < len(said.firsts) or not (
                    said.earliest[k] <= begin + t < said.latest[k]
                ):
                    weight = 0.0
                    break
                states.append(int((said.firsts if enters else said.stays)[k]))
                weight *= float(np.exp((said.entries if enters else said.loops)[k]))
            if weight:
                found.append((states, weight))
    return found


def scores_of(batch: int = 2, frames: int = FRAMES) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(batch, frames, STATES, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("leak", [0.0, 0.2])
def test_the_denominator_is_the_sum_over_all_paths(leak: float) -> None:
    scores = scores_of().requires_grad_()
    expected = [enumerated(graph(), scores[0], leak), enumerated(graph(), scores[1, :2], leak)]
    torch.stack(expected).sum().backward()
    sums, posteriors = denominator_sums(scores.detach(), torch.tensor([3, 2]), graph(), leak)
    torch.testing.assert_close(sums, torch.stack(expected).detach(), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(posteriors, scores.grad, rtol=1e-6, atol=1e-7)
    assert posteriors[1, 2].abs().sum() == 0


@pytest.mark.parametrize("begin", [0, 2])
def test_the_numerator_is_the_sum_over_what_was_said(begin: int) -> None:
    symbols = np.array([0, 1, 1, 2, 3, 3, 3, 0, 1, 1, 1, 1], np.int32)
    said = NumeratorCompiler(graph(), step=2, tolerance=1)(symbols, num_frames=6)
    assert said is not None
    paths = paths_said(said, begin, FRAMES)
    assert len(paths) > 1
    scores = scores_of(1).requires_grad_()
    each = [w * scores[0, range(FRAMES), states].sum().exp() for states, w in paths]
    expected = torch.stack(each).sum().log()
    expected.backward()
    sums, posteriors = numerator_sums(scores, torch.tensor([FRAMES]), [Chunk(said, begin)])
    torch.testing.assert_close(sums[0], expected.detach())
    torch.testing.assert_close(posteriors, scores.grad)


def test_what_was_said_is_part_of_all_that_can_be_said() -> None:
    """Without tolerance and with one path each: the numerator's paths have the same weights."""
    symbols = np.array([0, 2, 3], np.int32)
    said = NumeratorCompiler(graph((1, 0, 0)), step=1, tolerance=0)(symbols, num_frames=3)
    assert said is not None
    scores = torch.full((1, 3, 4), -100.0, dtype=torch.float64)
    scores[0, [0, 1, 2], symbols] = 0.0
    lengths, leak = torch.tensor([3]), 0.0
    loss, _ = mmi_loss(scores, lengths, [Chunk(said, 0)], graph((1, 0, 0)), leak)
    assert loss.item() == pytest.approx(0, abs=1e-9)
    sums, _ = numerator_sums(scores, lengths, [Chunk(said, 0)])
    assert sums.item() == pytest.approx(np.log(0.3 * 0.25 * 0.4))


def test_the_gradient_is_that_of_finite_differences() -> None:
    symbols = np.array([0, 1, 1, 2, 3, 3], np.int32)
    said = NumeratorCompiler(graph(), step=2, tolerance=2)(symbols, num_frames=3)
    chunks, lengths = [Chunk(said, 0), Chunk(said, 0), Chunk(said, 1)], torch.tensor([3, 2, 2])

    def loss(scores: Tensor) -> Tensor:
        return mmi_loss(scores, lengths, chunks, graph(), 0.1)[0]

    assert torch.autograd.gradcheck(loss, scores_of(3).requires_grad_())


def test_without_a_path_there_is_no_loss_and_no_gradient() -> None:
    crowded = np.array([0, 2, 0, 2], np.int32)
    said = NumeratorCompiler(graph(), step=2, tolerance=0)(crowded, num_frames=2)
    unknown = NumeratorCompiler(graph(), 1, 0)(np.array([0, 1, 0], np.int32), num_frames=3)
    scores = scores_of(3).requires_grad_()
    middle = NumeratorCompiler(graph(), 1, 0)(np.array([1, 2, 3], np.int32), num_frames=3)
    assert middle is None, "its first frame is not the first of a phone"
    chunks = [Chunk(said, 0), Chunk(unknown, 0), Chunk(middle, 0)]
    loss, posteriors = mmi_loss(scores, torch.tensor([2, 3, 3]), chunks, graph(), 0.1)
    loss.sum().backward()
    assert loss.tolist() == [0, 0, 0]
    assert scores.grad is not None
    assert not scores.grad.any()
    assert not posteriors.any()


def test_after_unknown_phones_what_follows_is_learnt() -> None:
    symbols = np.array([0, 1, 0, 1, 2, 3], np.int32)  # no phone follows itself but the second
    said = NumeratorCompiler(graph(), 1, 0)(symbols, num_frames=6)
    assert said is not None
    assert said.entries[1] == -np.inf
    assert np.isfinite(said.entries[[0]]).all()
    assert said.stays.tolist()[0] == 1
