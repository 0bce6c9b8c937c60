"""Feature-space maximum likelihood linear regression: adapts a speaker's features to the model.

A speaker's frames x become A x + b with the matrix W = [A b] that makes them likeliest. Row by row,
each given the others, W has a closed form.

Source: Gales, "Maximum likelihood linear transformations for HMM-based speech recognition" (1998),
section 3.2 and appendix B (constrained model-space transforms, full matrices).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asrkit.hmm.gaussians import Mixtures, SortedFrames, expectations
from asrkit.hmm.mllt import weighted_squares

Doubles = npt.NDArray[np.float64]
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
    transform, linear = no_transform(len(found.linear)).numpy(), found.linear.numpy()
    inverses = torch.linalg.inv(found.squares).numpy()
    for _ in range(sweeps):
        cofactors = np.linalg.inv(transform[:, :-1]).T  # (D, D), but for the determinant
        for row in range(len(transform)):
            new = _best_row(cofactors[row], inverses[row], linear[row], found.count)
            _follow(cofactors, row, new[:-1] - transform[row, :-1])
            transform[row] = new
    return torch.from_numpy(transform)


def _best_row(cofactors: Doubles, inverse: Doubles, linear: Doubles, count: float) -> Doubles:
    """Returns the best row (D + 1,) of W, given the others.

    Args:
        cofactors: (D,) of the row.
        inverse: (D + 1, D + 1) of the row's squares.
        linear: (D + 1,) of the row.
        count: Number of frames.
    """
    direction = inverse[:, :-1] @ cofactors
    quadratic, slope = float(cofactors @ direction[:-1]), float(direction @ linear)
    root = math.sqrt(slope * slope + 4 * quadratic * count)
    scales = [(sign * root - slope) / (2 * quadratic) for sign in (1, -1)]

    # The determinant is proportional to |α quadratic + slope|; both roots are extremes.
    def value(scale: float) -> float:
        return count * math.log(abs(scale * quadratic + slope)) - 0.5 * scale**2 * quadratic

    result: Doubles = max(scales, key=value) * direction + inverse @ linear
    return result


def _follow(cofactors: Doubles, row: int, change: Doubles) -> None:
    """Updates the transposed inverse of A (D, D) after a row of A has changed.

    Source: Sherman & Morrison 1950.
    """
    turned = cofactors @ change  # (D,)
    own = cofactors[row].copy()
    cofactors -= np.outer(turned / (1 + turned[row]), own)


def apply_transform(transform: Tensor, frames: Tensor) -> Tensor:
    """Returns A x + b (T, D) of frames (T, D), in their precision."""
    matrix = transform.to(frames.dtype)
    return frames @ matrix[:, :-1].T + matrix[:, -1]
