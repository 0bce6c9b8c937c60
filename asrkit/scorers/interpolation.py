"""An n-gram model of words and a neural language model, interpolated word by word, as a scorer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asrkit.lm.interpolation import InterpolationWeights
from asrkit.scorers.entries import Scorer, scorers
from asrkit.scorers.loader import Loader
from asrkit.scorers.sources import Source


@scorers.register("interpolation")
@dataclass(frozen=True)
class InterpolationScorer(Scorer):
    """A language model that mixes the probabilities of words by two others, for whole hypotheses.

    It scores what was found: in a search of type `combination`, or as a second pass. The neural
    model may have labels of its own: words are spelled by its tokenizer. Words that the n-gram
    model does not know have the neural model's share of probability alone.

    Args:
        weight: Factor of its log-probabilities.
        arpa: The n-gram model, made by `asrkit ngram --units words`.
        run: Run folder of the neural model.
        checkpoint: Of that run.
        weights: Shares of both; `asrkit perplexity --arpa` says which are the best for a text.
    """

    weight: float
    arpa: Path
    run: Path
    checkpoint: str = "average"
    weights: InterpolationWeights = InterpolationWeights()  # noqa: RUF009 - frozen

    def find(self, name: str, loader: Loader) -> Source:
        """Returns the two models."""
        found = loader.interpolation(self.arpa, self.run, self.checkpoint, self.weights)
        what = f"the interpolation of {self.arpa} and {self.run}"
        return Source(what, sentences=found)
