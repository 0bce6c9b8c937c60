"""LDA, MLLT and fMLLR: objectives rise, are those of the frames, and undo known distortions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal

from asrkit.hmm.fmllr import (
    apply_transform,
    fmllr,
    fmllr_objective,
    fmllr_statistics,
    no_transform,
)
from asrkit.hmm.gaussians import Mixtures, single_gaussians, sort_by_state
from asrkit.hmm.lda import ClassStatistics, discriminants
from asrkit.hmm.mllt import mllt, mllt_objective, mllt_statistics, weighted_squares

DIM, STATES = 4, 6


def correlated(seed: int = 0, count: int = 4000) -> tuple[Tensor, Tensor]:
    """Returns frames (T, D) whose dimensions are correlated in every state, and their states."""
    torch.manual_seed(seed)
    mixing = torch.randn(DIM, DIM) + 2 * torch.eye(DIM)
    states = torch.randint(STATES, (count,))
    means = 3 * torch.randn(STATES, DIM)
    return means[states] + torch.randn(count, DIM) @ mixing.T, states


def per_frame(model: Mixtures, frames: Tensor, states: Tensor) -> float:
    """Returns the log-likelihood per frame of a model of one Gaussian per state."""
    parts = Independent(Normal(model.means[states], model.variances[states].sqrt()), 1)
    return float(parts.log_prob(frames).mean())


def test_lda_finds_the_directions_in_which_the_classes_differ() -> None:
    torch.manual_seed(0)
    states = torch.arange(3000) % 3
    frames = torch.randn(3000, 5) * torch.tensor([1.0, 5.0, 1.0, 1.0, 10.0])
    frames[:, 1] += 40 * (states == 1)
    frames[:, 3] += 4 * (states == 2)
    found = ClassStatistics(3, 5)
    for part, classes in zip(frames.split(500), states.split(500), strict=True):
        found.add(part, classes)
    found.add(torch.full((7, 5), 1e3), torch.full((7,), -1))  # has no class
    result = discriminants(found, 2)
    shares = result.matrix.abs() / result.matrix.abs().sum(1, keepdim=True)
    assert float((shares[:, 1] + shares[:, 3]).min()) > 0.5
    assert result.ratios.tolist() == sorted(result.ratios.tolist(), reverse=True)
    projected = frames @ result.matrix.T
    centred = projected - torch.stack([projected[states == c].mean(0) for c in range(3)])[states]
    covariance = centred.T @ centred / len(centred)
    torch.testing.assert_close(covariance, torch.eye(2), atol=1e-3, rtol=0)
    with pytest.raises(ValueError, match="1 to 5 dimensions"):
        discriminants(found, 6)


def test_weighted_squares_are_sums_of_products() -> None:
    torch.manual_seed(0)
    vectors, weights = torch.randn(5000, 4), torch.rand(5000, 3)
    expected = torch.einsum("tw,ti,tj->wij", *(x.double() for x in (weights, vectors, vectors)))
    torch.testing.assert_close(weighted_squares(vectors, weights), expected, rtol=1e-4, atol=1e-2)


def test_mllt_rises_with_every_sweep_by_what_the_frames_gain() -> None:
    frames, states = correlated()
    model = single_gaussians(frames, states, STATES)
    found = mllt_statistics(model, frames, sort_by_state(states))
    values = [mllt_objective(found, mllt(found, sweeps)) for sweeps in range(6)]
    assert all(b >= a - 1e-9 for a, b in zip(values, values[1:], strict=False))
    matrix = mllt(found).float()
    turned = frames @ matrix.T
    # With one Gaussian per state, whose variances follow, the gain is real.
    before = per_frame(model, frames, states)
    after = per_frame(single_gaussians(turned, states, STATES), turned, states)
    log_determinant = float(torch.linalg.slogdet(matrix).logabsdet)
    assert after + log_determinant > before + 0.2
    # Full covariances are the most that there is to gain: within, all states are alike.
    residual = frames - model.means[states]
    full = MultivariateNormal(torch.zeros(DIM), residual.T @ residual / len(frames))
    best = float(full.log_prob(residual).mean())
    assert after + log_determinant == pytest.approx(best, abs=0.05)


def test_fmllr_rises_with_every_sweep_and_undoes_a_speakers_distortion() -> None:
    torch.manual_seed(1)
    states = torch.randint(STATES, (3000,))
    means, deviations = 3 * torch.randn(STATES, DIM), torch.rand(STATES, DIM) + 0.5
    clean = means[states] + deviations[states] * torch.randn(3000, DIM)
    model = single_gaussians(clean, states, STATES)
    distortion = torch.randn(DIM, DIM) * 0.2 + torch.eye(DIM)
    heard = clean @ distortion.T + torch.randn(DIM)
    by_state = sort_by_state(states)
    found = fmllr_statistics(model, heard, heard, by_state)
    assert found.count == 3000
    values = []
    for sweeps in range(8):
        transform = fmllr(found, sweeps=sweeps)
        assert transform is not None
        values.append(fmllr_objective(found, transform))
    assert all(b >= a - 1e-9 for a, b in zip(values, values[1:], strict=False))
    transform = fmllr(found)
    assert transform is not None
    adapted = apply_transform(transform, heard)
    log_determinant = float(torch.linalg.slogdet(transform[:, :-1]).logabsdet)
    gain = per_frame(model, adapted, states) + log_determinant - per_frame(model, heard, states)
    change = fmllr_objective(found, transform) - fmllr_objective(found, no_transform(DIM))
    assert gain == pytest.approx(change, abs=1e-3)
    torch.testing.assert_close(adapted, clean, atol=0.6, rtol=0)


def test_a_speaker_of_few_frames_stays_as_he_is() -> None:
    frames, states = correlated(count=300)
    model = single_gaussians(frames, states, STATES)
    found = fmllr_statistics(model, frames, frames, sort_by_state(states))
    assert fmllr(found) is None
    assert fmllr(found, min_frames=200) is not None
    nothing = fmllr_statistics(model, frames, frames, sort_by_state(torch.full((300,), -1)))
    assert nothing.count == 0
    assert fmllr(nothing, min_frames=0) is None
    torch.testing.assert_close(apply_transform(no_transform(DIM), frames), frames)
    assert math.isfinite(fmllr_objective(found, no_transform(DIM)))
