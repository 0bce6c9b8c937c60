"""Weights that training keeps within what a layer demands of them, such as to be semi-orthogonal.

An optimiser knows nothing of such demands. After an update, training calls every module that has
some, which moves its weights back, or a part of the way.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from asrkit.nn.applied import Applied


@runtime_checkable
class Constrained(Protocol):
    """A module that demands something of its weights."""

    def constrain(self, updates: int) -> None:
        """Changes its trained weights in place.

        Args:
            updates: How many updates have been made, the newest one counted.
        """
        ...


def constrain(model: nn.Module, updates: int) -> None:
    """Lets all modules of a model change their weights after an update.

    Args:
        model: What is trained.
        updates: How many updates have been made, the newest one counted.
    """
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, Constrained):
                module.constrain(updates)


class SemiOrthogonalLinear(nn.Module):
    """A linear layer without bias whose matrix is kept near a multiple of a semi-orthogonal one.

    So the matrix M of a bottleneck neither loses what it hears nor grows without need:
    M M^T = a² I, where the scale a is free. Training moves M there in small steps.

    Args:
        input_dim: Columns of M.
        output_dim: Rows of M.
        interval: Updates from one step to the next.

    Raises:
        ValueError: If the interval is not positive.

    Source: Povey et al. 2018, "Semi-orthogonal low-rank matrix factorization for deep neural
        networks", section 2 (floating case); step sizes and interval of kaldi-asr/kaldi,
        src/nnet3/nnet-utils.cc.
    """

    def __init__(self, input_dim: int, output_dim: int, interval: int = 4) -> None:
        super().__init__()
        if interval < 1:
            raise ValueError(f"interval ({interval}) must be at least 1")
        self.interval = interval
        self.weight = nn.Parameter(torch.empty(output_dim, input_dim))
        nn.init.normal_(self.weight, std=input_dim**-0.5)
        self.applied = Applied()

    def forward(self, x: Tensor) -> Tensor:
        """Returns M x (..., output_dim) of x (..., input_dim)."""
        return nn.functional.linear(x, self.weight)

    def constrain(self, updates: int) -> None:
        """Moves the matrix nearer to a multiple of a semi-orthogonal one, if it is time to."""
        if self.weight.requires_grad and updates % self.interval == 0:
            nearer = nearer_semi_orthogonal(self.weight)
            self.applied.count("moved", (nearer - self.weight).norm(), self.weight.norm())
            self.weight.copy_(nearer)


def nearer_semi_orthogonal(matrix: Tensor) -> Tensor:
    """Returns a matrix that is nearer to a multiple of a semi-orthogonal one; its scale stays.

    Args:
        matrix: (R, C) M; of more rows than columns, the columns become orthogonal.

    Returns:
        (R, C) M - s/a² (M M^T - a² I) M, where a² is the one for which M M^T is nearest to a² I in
        relation to its own size, and s is 1/2 or, far away, less, such that nothing diverges.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return nearer_semi_orthogonal(matrix.t()).t()
    products = matrix @ matrix.t()  # (R, R)
    trace, squares = products.diagonal().sum(), products.square().sum()
    scale = squares / trace  # a²
    spread = squares * len(matrix) / trace.square()  # 1 where all singular values are the same
    speed = torch.where(spread > 1.1, 0.125, torch.where(spread > 1.02, 0.25, 0.5))
    products.diagonal().sub_(scale)
    return matrix - speed / scale * (products @ matrix)
