"""Scores of hypotheses of different lengths: what makes them comparable."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

LARGEST = 10.0
"""Beyond this exponent, longer hypotheses have scores that numbers can't hold."""


@dataclass(frozen=True)
class LengthNorm:
    """Scores are divided by ((labels + 1 + offset) / (1 + offset))^exponent; 1 is for the end.

    Args:
        exponent: 0 for no normalisation.
        offset: Less weight for short hypotheses where it is above 0; with -1 the end doesn't count,
            and an empty hypothesis counts as one label.

    Raises:
        ValueError: If the offset is below -1, or the exponent so large that no score is left.

    Source: Wu et al. 2016, "Google's neural machine translation system", section 7 (offset 5);
        rwth-i6/i6_experiments, users/zeyer/decoding/beam_search_torch.
    """

    exponent: float = 0.0
    offset: int = 0

    def __post_init__(self) -> None:
        if not abs(self.exponent) <= LARGEST:
            raise ValueError(
                f"length_norm ({self.exponent:g}) must be between {-LARGEST:g} and {LARGEST:g}"
            )
        if self.offset < -1:
            raise ValueError(f"length_offset ({self.offset}) must be at least -1")

    def divisor(self, labels: int) -> float:
        """Returns what the score of a hypothesis of so many labels is divided by."""
        counted = max(labels + 1 + self.offset, 1) / max(1 + self.offset, 1)
        return float(counted**self.exponent)

    def divisors(self, labels: Tensor) -> Tensor:
        """Returns the same of numbers of labels, in single precision."""
        counted = (labels + 1 + self.offset).clamp(min=1) / max(1 + self.offset, 1)
        return counted**self.exponent


UNCHANGED = LengthNorm()
"""Divides scores by 1."""
