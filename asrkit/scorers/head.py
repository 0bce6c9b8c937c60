"""A head of a model as a scorer, as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from asrkit.scorers.entries import OfHead, scorers
from asrkit.scorers.loader import Loader
from asrkit.scorers.sources import Source


@scorers.register("head")
@dataclass(frozen=True)
class HeadScorer(OfHead):
    """A head of the model, or of another model.

    Args:
        weight: Factor of its log-probabilities.
        head: Name of the head; the entry's name where null.
        run: Run folder of another model with the same vocabulary (system combination).
        checkpoint: Of that run.
        eos: Whether it scores the end of the sentence, too.
    """

    hears: ClassVar[bool] = True
    eos: bool = True

    def find(self, name: str, loader: Loader) -> Source:
        """Returns the head."""
        return self.found(name, loader).source
