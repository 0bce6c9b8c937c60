"""Dropout that changes while a model is trained: little at first, more later, none at the end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from asrkit.nn.dropout import ContinuousDropout, Dropout
from asrkit.training.importing import check_patterns


@dataclass(frozen=True)
class DropoutSchedule:
    """Probabilities of dropout at points of the training, and on straight lines between them.

    What a model's own settings say then does not hold for these layers.

    Args:
        points: Pairs of a share of all updates and a probability, such as [[0, 0], [0.2, 0],
            [0.5, 0.3], [1, 0]]; before the first and after the last, those of these.
        pattern: Regular expression, searched in the names of dropout layers.

    Raises:
        ValueError: If there is no point, shares don't ascend from 0 to at most 1, or something is
            no probability or no pattern.

    Source: `--trainer.dropout-schedule` of kaldi-asr/kaldi, egs/wsj/s5/steps/nnet3/chain/train.py.
    """

    points: list[tuple[float, float]]
    pattern: str = ""

    def __post_init__(self) -> None:
        check_patterns([self.pattern])
        shares = [share for share, _ in self.points]
        ascending = all(a < b for a, b in pairwise(shares))
        if not shares or not ascending or shares[0] < 0 or shares[-1] > 1:
            raise ValueError(
                f"points {self.points} must begin with shares of the training that ascend, "
                "from at least 0 to at most 1, such as [[0, 0], [0.5, 0.3], [1, 0]]"
            )
        wrong = [each for _, each in self.points if not 0 <= each < 1]
        if wrong:
            raise ValueError(f"probabilities {wrong} must be at least 0 and below 1")

    def at(self, share: float) -> float:
        """Returns the probability when a share of all updates has been made."""
        if share <= self.points[0][0]:
            return self.points[0][1]
        for (start, low), (end, high) in pairwise(self.points):
            if share <= end:
                return low + (high - low) * (share - start) / (end - start)
        return self.points[-1][1]

    def layers(self, model: nn.Module) -> list[Dropout | ContinuousDropout]:
        """Returns the dropout layers of a model that follow the schedule.

        Raises:
            ValueError: If there are none, or one can't have the highest probability.
        """
        found = [
            module
            for name, module in model.named_modules()
            if isinstance(module, (Dropout, ContinuousDropout)) and re.search(self.pattern, name)
        ]
        if not found:
            raise ValueError(
                f"dropout_schedules: {self.pattern!r} selects no dropout layer of the model"
            )
        highest = max(each for _, each in self.points)
        if highest > 0.5 and any(isinstance(module, ContinuousDropout) for module in found):
            raise ValueError(
                f"dropout_schedules: {highest} is too much for continuous dropout, which "
                f"{self.pattern!r} selects: at most 0.5"
            )
        return found

    def apply(self, model: nn.Module, share: float) -> None:
        """Sets the probabilities for the next update, a share of all having been made."""
        probability = self.at(share)
        for layer in self.layers(model):
            layer.probability = probability
