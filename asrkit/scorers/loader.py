"""Where scorers get what they are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from torch import Tensor

from asrkit.lm.interpolation import InterpolationWeights
from asrkit.scorers.interfaces import Hypothesis, LabelSource, SentenceScores
from asrkit.scorers.sources import Source
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary
from asrkit.wfst.graph_file import DecodingGraph

NgramUnits: TypeAlias = Literal["labels", "words"]
"""What an n-gram model that scores labels is of."""


def all_of(encoded: Any) -> Any:
    """Returns all that was encoded."""
    return encoded


@dataclass(frozen=True)
class FoundHead:
    """A head of a model, and what it reads.

    Args:
        head: The head.
        what: What it is, for messages.
        pick: Takes the frames of its own encoder of all that was encoded.
    """

    head: object
    what: str
    pick: Callable[[Any], Any] = all_of

    @property
    def source(self) -> Source:
        """What the head can be asked for."""
        return Source.of(self.head, self.what).reading(self.pick)


class Loader(Protocol):
    """Finds what scorers are made of; `vocabulary` holds the labels of the search."""

    vocabulary: Vocabulary

    def head(self, name: str, run: Path | None, checkpoint: str) -> FoundHead:
        """Returns a head of the decoded model, or of that of another run."""
        ...

    def language_model(self, run: Path, checkpoint: str) -> LabelSource:
        """Returns a trained language model."""
        ...

    def ngram(self, path: Path, units: NgramUnits = "labels") -> LabelSource:
        """Returns an n-gram model of the labels, or of words that they spell, from an ARPA file."""
        ...

    def interpolation(
        self, arpa: Path, run: Path, checkpoint: str, weights: InterpolationWeights
    ) -> SentenceScores:
        """Returns what interpolates an n-gram model of words with a language model.

        Args:
            arpa: The n-gram model.
            run: Of the language model, which may have other labels.
            checkpoint: Of that run.
            weights: Their shares.
        """
        ...

    def lists(self, search: str, run: Path | None, most: int) -> Callable[[str], list[Hypothesis]]:
        """Returns what a search has found in the utterances of the sets that it decoded.

        Args:
            search: Its name.
            run: The run that it decoded, if it is another one than that which is decoded.
            most: Hypotheses of an utterance.
        """
        ...

    def graph(self, path: Path) -> DecodingGraph:
        """Returns a decoding graph."""
        ...

    def prior(
        self, path: Path, run: Path | None, checkpoint: str, outputs: Outputs | None = None
    ) -> Tensor:
        """Returns log-priors that were estimated with the same weights.

        Args:
            path: The file.
            run: Of the model, if it is another one than that which is decoded.
            checkpoint: Of that run.
            outputs: The K symbols that they are of; labels and blank where null.
        """
        ...
