"""Mixtures against torch's distributions; EM never makes frames less likely."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from asrkit.hmm.gaussians import (
    Mixtures,
    accumulate,
    expectations,
    mixed_up,
    single_gaussians,
    sort_by_state,
    update,
)

SIZES = [1, 3, 2, 3]


def mixtures(seed: int = 0, dim: int = 5) -> Mixtures:
    torch.manual_seed(seed)
    total = sum(SIZES)
    weights = torch.cat([torch.rand(size).softmax(0) for size in SIZES])
    offsets = torch.tensor([0, *SIZES]).cumsum(0)
    return Mixtures(offsets, weights.log(), torch.randn(total, dim), torch.rand(total, dim) + 0.5)


def reference(model: Mixtures, state: int, frames: Tensor) -> Tensor:
    rows = slice(*model.offsets[state : state + 2].tolist())
    parts = Independent(Normal(model.means[rows], model.variances[rows].sqrt()), 1)
    mixture = MixtureSameFamily(Categorical(logits=model.log_weights[rows]), parts)
    result: Tensor = mixture.log_prob(frames)
    return result


def test_scores_are_those_of_torch_and_the_same_alone_and_together() -> None:
    model, frames = mixtures(), torch.randn(9, 5)
    scores = model.log_likelihoods(frames)
    for state in range(len(SIZES)):
        torch.testing.assert_close(scores[:, state], reference(model, state, frames))
        joint = model.log_joint(frames, state).logsumexp(1)
        torch.testing.assert_close(joint, scores[:, state])
    some = torch.tensor([3, 0, 2])
    torch.testing.assert_close(model.log_likelihoods(frames[4:6], some), scores[4:6][:, some])


def drawn(seed: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    states = torch.randint(4, (3000,))
    centres = torch.randn(4, 3, 5) * 3
    return centres[states, torch.randint(3, (3000,))] + torch.randn(3000, 5), states


def test_likelihood_never_falls_while_the_size_is_the_same_and_rises_with_it() -> None:
    frames, states = drawn(1)
    by_state = sort_by_state(states)
    model = single_gaussians(frames, states, 4)
    ends = []
    for size in (4, 8, 12):
        model = mixed_up(model, torch.bincount(states), size)
        assert len(model) == size
        found = [accumulate(model, frames, by_state)]
        for _ in range(12):
            model = update(model, found[-1])
            found.append(accumulate(model, frames, by_state))
        totals = [one.log_likelihood for one in found]
        assert all(b >= a - 0.02 for a, b in zip(totals, totals[1:], strict=False))
        ends.append(totals[-1])
    assert ends[0] + 100 < ends[1] < ends[2] - 100


def test_one_gaussian_has_the_mean_and_variance_of_its_frames() -> None:
    frames, states = drawn(2)
    states[:100] = -1  # belong to no state
    states[states == 3] = 2
    model = single_gaussians(frames, states, 4)
    own = frames[states == 1]
    torch.testing.assert_close(model.means[1], own.mean(0))
    torch.testing.assert_close(model.variances[1], own.var(0, correction=0))
    torch.testing.assert_close(model.means[3], frames[100:].mean(0))
    again = update(model, accumulate(model, frames, sort_by_state(states)))
    torch.testing.assert_close(again.means, model.means)
    torch.testing.assert_close(again.variances, model.variances, rtol=1e-4, atol=1e-4)


def test_statistics_do_not_depend_on_the_order_or_the_division_of_frames() -> None:
    frames, states = drawn(3)
    model = mixed_up(single_gaussians(frames, states, 4), torch.bincount(states), 9)
    whole = accumulate(model, frames, sort_by_state(states))
    shuffled = torch.randperm(len(frames))
    other = accumulate(model, frames[shuffled], sort_by_state(states[shuffled]))
    parts = [
        accumulate(model, f, sort_by_state(s))
        for f, s in zip(frames.split(700), states.split(700), strict=True)
    ]
    torch.testing.assert_close(other.sums, whole.sums, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(sum(one.counts for one in parts), whole.counts, rtol=1e-4, atol=1e-2)
    assert sum(one.log_likelihood for one in parts) == pytest.approx(whole.log_likelihood, rel=1e-5)
    assert whole.frames == 3000


def test_gaussians_of_few_frames_are_left_out_but_the_last_one() -> None:
    model = mixtures()
    frames = torch.cat([model.means[1].expand(50, 5), model.means[4:5]])
    states = torch.tensor([1] * 50 + [2])
    found = update(model, accumulate(model, frames, sort_by_state(states)))
    sizes = found.offsets.diff().tolist()
    assert sizes[0] == SIZES[0]  # saw nothing: as it was
    assert 1 <= sizes[1] < SIZES[1] or sizes[1] == SIZES[1]
    assert sizes[2] == SIZES[2]  # one frame is not enough to change it
    for state in range(4):
        rows = slice(*found.offsets[state : state + 2].tolist())
        assert float(found.log_weights[rows].exp().sum()) == pytest.approx(1, abs=1e-5)
    assert float(found.variances.min()) >= 1e-3


def test_states_of_more_frames_get_more_gaussians() -> None:
    model = single_gaussians(torch.randn(4000, 5), torch.arange(4000) % 4, 4)
    counts = torch.tensor([10.0, 100.0, 1000.0, 10000.0])
    sizes = mixed_up(model, counts, 16).offsets.diff().tolist()
    assert sizes[0] == 1  # fewer than 20 frames for each half
    assert sizes == sorted(sizes)
    assert sum(sizes) == 16
    few = mixed_up(model, torch.full((4,), 50.0), 100)
    assert few.offsets.diff().tolist() == [2] * 4


def test_expected_precisions_and_targets_are_averages_over_posteriors() -> None:
    model, frames = mixtures(), torch.randn(30, 5)
    by_state = sort_by_state(torch.arange(30) % 4)
    found = expectations(model, frames, by_state)
    for row, frame in enumerate(by_state.order.tolist()):
        state = frame % 4
        rows = slice(*model.offsets[state : state + 2].tolist())
        posterior = model.log_joint(frames[frame : frame + 1], state).softmax(1)[0]
        precision = posterior @ (1 / model.variances[rows])
        target = posterior @ (model.means[rows] / model.variances[rows])
        torch.testing.assert_close(found.precisions[row], precision)
        torch.testing.assert_close(found.targets[row], target)
