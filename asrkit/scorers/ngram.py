"""N-gram models as scorers: of labels, and of the words that labels spell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asrkit.scorers.entries import Scorer, scorers
from asrkit.scorers.loader import Loader
from asrkit.scorers.sources import Source


@scorers.register("ngram")
@dataclass(frozen=True)
class NgramScorer(Scorer):
    """An n-gram model over the same labels, made by `asrkit ngram --units`.

    Args:
        weight: Factor of its log-probabilities.
        arpa: The file.
        eos: Whether it scores the end of the sentence, too.
    """

    weight: float
    arpa: Path
    eos: bool = True

    def find(self, name: str, loader: Loader) -> Source:
        """Returns the n-gram model."""
        return Source.of(loader.ngram(self.arpa), f"the n-gram model {self.arpa}")


@scorers.register("word_ngram")
@dataclass(frozen=True)
class WordNgramScorer(Scorer):
    """An n-gram model of words, made by `asrkit ngram --units words`, for labels that spell them.

    A word gets its probability where the next one begins, or the sentence ends; until then, that
    of the most frequent word with such a beginning counts. Words that the model does not know
    count as `<unk>`, or as its rarest word where it has none.

    Args:
        weight: Factor of its log-probabilities.
        arpa: The file.
        eos: Whether it scores the end of the sentence, and with that the last word.
    """

    weight: float
    arpa: Path
    eos: bool = True

    @property
    def rewards(self) -> bool:
        """Yes: a word may be likelier after its history than its beginning was by itself."""
        return True

    def find(self, name: str, loader: Loader) -> Source:
        """Returns the n-gram model."""
        return Source.of(loader.ngram(self.arpa, "words"), f"the n-gram model {self.arpa}")
