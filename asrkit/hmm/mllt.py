"""Maximum likelihood linear transform: turns features such that diagonal covariances fit.

The square matrix A that makes the frames likeliest, Gaussians keeping their posterior
probabilities, is found row by row; each row given the others has a closed form.

Source: Gales, "Semi-tied covariance matrices for hidden Markov models" (1999), equations 15 to 18.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from asrkit.hmm.gaussians import Mixtures, SortedFrames, accumulate, expectations

SWEEPS = 20
CHUNK = 1 << 15
"""Frames whose products are summed at a time."""


@dataclass(frozen=True)
class MlltStatistics:
    """What frames say about A.

    Args:
        count: Number of frames.
        squares: (D, D, D) for each row of A, the frames' covariance within their Gaussians, divided
            by the Gaussians' variance in that row.
    """

    count: float
    squares: Tensor


def mllt_statistics(mixtures: Mixtures, frames: Tensor, by_state: SortedFrames) -> MlltStatistics:
    """Sums frames (T, D) up, each within the Gaussians of its state."""
    chosen = frames[by_state.order]
    squares = weighted_squares(chosen, expectations(mixtures, frames, by_state).precisions)
    found = accumulate(mixtures, frames, by_state)
    seen = found.counts > 0
    means = found.sums[seen] / found.counts[seen, None]
    weights = found.counts[seen, None] / mixtures.variances[seen].double()
    return MlltStatistics(float(len(chosen)), squares - weighted_squares(means, weights))


def weighted_squares(vectors: Tensor, weights: Tensor) -> Tensor:
    """Returns, for each column of the weights (T, W), the sum of w x xᵀ of vectors (T, D)."""
    size = vectors.shape[1]
    result = torch.zeros(weights.shape[1], size, size, dtype=torch.float64)
    for part, heavy in zip(vectors.split(CHUNK), weights.split(CHUNK), strict=True):
        for row, weight in enumerate(heavy.T):
            result[row] += (part * weight[:, None]).T @ part
    return result


def mllt_objective(found: MlltStatistics, matrix: Tensor) -> float:
    """Returns the log-likelihood per frame of A (D, D), but for a constant."""
    rows = torch.einsum("di,dij,dj->", matrix, found.squares, matrix)
    return float(torch.linalg.slogdet(matrix).logabsdet - 0.5 * rows / found.count)


def mllt(found: MlltStatistics, sweeps: int = SWEEPS) -> Tensor:
    """Returns A (D, D), float64; the objective never falls from one sweep to the next.

    Args:
        found: The statistics.
        sweeps: How often every row is set.
    """
    size = len(found.squares)
    matrix = torch.eye(size, dtype=torch.float64)
    inverses = torch.linalg.inv(found.squares)
    for _ in range(sweeps):
        for row in range(size):
            cofactors = torch.linalg.inv(matrix)[:, row]
            direction = inverses[row] @ cofactors
            scale = (found.count / (cofactors @ direction)).sqrt()
            matrix[row] = scale * direction
    return matrix
