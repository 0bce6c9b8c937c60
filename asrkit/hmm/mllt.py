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
CHUNK = 1 << 12
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
    size, pairs = vectors.shape[1], vectors.shape[1] * (vectors.shape[1] + 1) // 2
    # The products are symmetric: one half of them is multiplied with all weights at once.
    half = torch.zeros(pairs, weights.shape[1], dtype=torch.float64)
    products = vectors.new_empty(pairs, CHUNK)
    for part, heavy in zip(vectors.split(CHUNK), weights.split(CHUNK), strict=True):
        columns, own = part.T.contiguous(), products[:, : len(part)]  # (D, t), (pairs, t)
        for row, place in enumerate(own.split(list(range(size, 0, -1)))):
            torch.mul(columns[row:], columns[row], out=place)
        half += own @ heavy
    one, other = torch.triu_indices(size, size)
    result = torch.zeros(weights.shape[1], size, size, dtype=torch.float64)
    result[:, one, other] = half.T
    result[:, other, one] = half.T
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
