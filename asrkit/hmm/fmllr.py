"""Feature-space maximum likelihood linear regression: adapts a speaker's features to the model.

A speaker's frames x become A x + b with the matrix W = [A b] that makes them likeliest. Row by row,
each given the others, W has a closed form.

Source: Gales, "Maximum likelihood linear transformations for HMM-based speech recognition" (1998),
section 3.2 and appendix B (constrained model-space transforms, full matrices).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from asrkit.hmm.gaussians import Mixtures, SortedFrames, expectations
from asrkit.hmm.mllt import weighted_squares

SWEEPS = 20
MIN_FRAMES = 500
"""With fewer frames a speaker keeps the features as they are."""


@dataclass(frozen=True)
class FmllrStatistics:
    """What a speaker's frames say about W.

    Args:
        count: Number of frames.
        linear: (D, D + 1) sum of the expected means over variances, times [x, 1].
        squares: (D, D + 1, D + 1) sums of [x, 1] [x, 1]ᵀ, weighted by the expected precision of
            each row of W.
    """

    count: float
    linear: Tensor
    squares: Tensor


def fmllr_statistics(
    mixtures: Mixtures,
    frames: Tensor,
    adapted: Tensor,
    by_state: SortedFrames,
    scored_by: Mixtures | None = None,
) -> FmllrStatistics:
    """Sums a speaker's frames up.

    Args:
        mixtures: The model.
        frames: (T, D) without adaptation.
        adapted: (T, D) as they are scored, for the posterior probabilities.
        by_state: Which frame belongs to which state; frames of silence are better left out.
        scored_by: Give the posterior probabilities, if not `mixtures`; as many Gaussians.
    """
    chosen = frames[by_state.order]
    if not len(chosen):
        size = frames.shape[1]
        zeros = torch.zeros(size, size + 1, size + 1, dtype=torch.float64)
        return FmllrStatistics(0.0, zeros[0, :size], zeros)
    expected = expectations(mixtures, adapted, by_state, scored_by)
    extended = torch.cat([chosen, torch.ones(len(chosen), 1)], dim=1)
    linear = (expected.targets.T @ extended).double()
    squares = weighted_squares(extended, expected.precisions)
    return FmllrStatistics(float(len(chosen)), linear, squares)


def fmllr_objective(found: FmllrStatistics, transform: Tensor) -> float:
    """Returns the log-likelihood per frame of W (D, D + 1), but for a constant."""
    fit = (transform * found.linear).sum()
    spread = torch.einsum("di,dij,dj->", transform, found.squares, transform)
    log_determinant = torch.linalg.slogdet(transform[:, :-1]).logabsdet
    return float(log_determinant + (fit - 0.5 * spread) / found.count)


def no_transform(size: int) -> Tensor:
    """Returns the W (D, D + 1), float64, that changes nothing."""
    return torch.eye(size, size + 1, dtype=torch.float64)


def fmllr(
    found: FmllrStatistics, min_frames: float = MIN_FRAMES, sweeps: int = SWEEPS
) -> Tensor | None:
    """Returns W (D, D + 1), float64; None where there are too few frames to tell.

    Args:
        found: The statistics.
        min_frames: So many frames are needed.
        sweeps: How often every row is set; the objective never falls.
    """
    if found.count < max(min_frames, 1):
        return None
    transform = no_transform(len(found.linear))
    inverses = torch.linalg.inv(found.squares)
    for _ in range(sweeps):
        for row in range(len(transform)):
            _set_row(transform, row, inverses[row], found)
    return transform


def _set_row(transform: Tensor, row: int, inverse: Tensor, found: FmllrStatistics) -> None:
    """Sets a row of W to the best, given the others."""
    cofactors = torch.linalg.inv(transform[:, :-1])[:, row]
    extended = torch.cat([cofactors, cofactors.new_zeros(1)])
    direction = inverse @ extended
    quadratic, slope = extended @ direction, direction @ found.linear[row]
    root = (slope.square() + 4 * quadratic * found.count).sqrt()
    scales = torch.stack([-slope + root, -slope - root]) / (2 * quadratic)
    # The determinant is proportional to |α quadratic + slope|; both roots are extremes.
    value = found.count * (scales * quadratic + slope).abs().log() - 0.5 * scales**2 * quadratic
    best = scales[value.argmax()]
    transform[row] = best * direction + inverse @ found.linear[row]


def apply_transform(transform: Tensor, frames: Tensor) -> Tensor:
    """Returns A x + b (T, D) of frames (T, D), in their precision."""
    matrix = transform.to(frames.dtype)
    return frames @ matrix[:, :-1].T + matrix[:, -1]
