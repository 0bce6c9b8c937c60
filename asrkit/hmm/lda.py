"""Linear discriminant analysis: few dimensions of spliced frames that tell the states apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


class ClassStatistics:
    """Sums of frames, by class and of all.

    Args:
        num_classes: S.
        dim: F of the frames.
    """

    def __init__(self, num_classes: int, dim: int) -> None:
        self.counts = torch.zeros(num_classes, dtype=torch.float64)
        self.sums = torch.zeros(num_classes, dim, dtype=torch.float64)
        self.squares = torch.zeros(dim, dim, dtype=torch.float64)

    def add(self, frames: Tensor, classes: Tensor) -> None:
        """Counts frames (T, F) in, but those whose class (T,) is negative."""
        frames, classes = frames[classes >= 0], classes[classes >= 0]
        self.squares += frames.T @ frames
        self.sums.index_add_(0, classes, frames.double())
        self.counts += torch.bincount(classes, minlength=len(self.counts))


@dataclass(frozen=True)
class Discriminants:
    """A projection.

    Args:
        matrix: (D, F) after which the classes have unit covariance within, on average.
        ratios: (D,) variance between classes over that within, falling.
    """

    matrix: Tensor
    ratios: Tensor


def discriminants(found: ClassStatistics, dim: int) -> Discriminants:
    """Returns the D directions in which the classes differ most for their own spread.

    Raises:
        ValueError: If there are fewer dimensions than wanted.

    Source: Duda & Hart 1973, section 4.11; Haeb-Umbach & Ney 1992 for its use in speech.
    """
    size = len(found.squares)
    if not 0 < dim <= size:
        raise ValueError(f"expected 1 to {size} dimensions of LDA, got {dim}")
    count = found.counts.sum()
    mean = found.sums.sum(0) / count
    scaled = found.sums / found.counts.clamp(min=1).sqrt()[:, None]
    moment = scaled.T @ scaled / count  # (F, F) of the classes' means
    within = found.squares / count - moment
    between = moment - torch.outer(mean, mean)
    floor = 1e-8 * within.diagonal().mean() * torch.eye(size, dtype=torch.float64)
    inverse = torch.linalg.inv(torch.linalg.cholesky(within + floor))
    ratios, directions = torch.linalg.eigh(inverse @ between @ inverse.T)
    best = ratios.argsort(descending=True)[:dim]
    return Discriminants((directions[:, best].T @ inverse).float(), ratios[best])
