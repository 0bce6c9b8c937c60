"""A language model of another run as a scorer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asrkit.scorers.entries import Scorer, scorers
from asrkit.scorers.loader import Loader
from asrkit.scorers.sources import Source


@scorers.register("language_model")
@dataclass(frozen=True)
class LanguageModelScorer(Scorer):
    """A language model over the same labels.

    One that was trained on the transcripts of the speech has a negative weight in the density
    ratio method.

    Args:
        weight: Factor of its log-probabilities.
        run: Its run folder.
        checkpoint: Of that run.
        eos: Whether it scores the end of the sentence, too.

    Source: McDermott et al. 2019 (density ratio).
    """

    weight: float
    run: Path
    checkpoint: str = "average"
    eos: bool = True

    def find(self, name: str, loader: Loader) -> Source:
        """Returns the language model."""
        model = loader.language_model(self.run, self.checkpoint)
        return Source.of(model, f"the language model {self.run}")
