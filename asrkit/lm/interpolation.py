"""Linear interpolation of an n-gram model of words with a neural model of their pieces.

    p(w | h) = a · p_ngram(w | h) + (1 - a) · p_neural(w | h)

The neural model can spell every word. The n-gram model gives nothing to words that it does not
know: they have the neural model's share alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asrkit.lm.tables import Bools
from asrkit.lm.word_scores import NgramWords, WordScores

SENTENCES = 1000
"""Sentences that are scored at a time."""
ENOUGH = 1e-5
"""Smallest change of a weight that is worth another round of its estimation."""


@dataclass(frozen=True)
class InterpolationWeights:
    """Shares of the two models; they sum to 1.

    Args:
        ngram: That of the n-gram model.
        neural: That of the neural model.

    Raises:
        ValueError: If they are no shares, or do not sum to 1.
    """

    ngram: float = 0.5
    neural: float = 0.5

    def __post_init__(self) -> None:
        if min(self.ngram, self.neural) < 0 or abs(self.ngram + self.neural - 1) > 1e-6:
            raise ValueError(
                f"weights ngram ({self.ngram}) and neural ({self.neural}) must not be below 0, and "
                "sum to 1"
            )


@dataclass(frozen=True)
class BothScores:
    """What both models say of each word of some sentences, and of their ends.

    Args:
        ngram: Log-probabilities; those of unknown words are of `<unk>`.
        neural: Log-probabilities.
        unknown: Which the n-gram model does not know.
    """

    ngram: NDArray[np.float64]
    neural: NDArray[np.float64]
    unknown: Bools

    def mixed(self, weights: InterpolationWeights) -> NDArray[np.float64]:
        """Returns interpolated log-probabilities."""
        with np.errstate(divide="ignore"):  # a weight of 0
            first = np.log(weights.ngram) + self.known_ngram
            found: NDArray[np.float64] = np.logaddexp(first, np.log(weights.neural) + self.neural)
        return found

    @property
    def known_ngram(self) -> NDArray[np.float64]:
        """Log-probabilities by the n-gram model, which are minus infinity for unknown words."""
        return np.where(self.unknown, -np.inf, self.ngram)

    def best_weights(self) -> InterpolationWeights:
        """Returns the weights with the highest likelihood, by expectation and maximisation.

        Source: Jelinek and Mercer 1980.
        """
        share = 0.5
        gap = self.known_ngram - self.neural  # log of the ratio
        for _ in range(1000):
            before = share
            with np.errstate(divide="ignore"):
                share = float(np.mean(_sigmoid(gap + np.log(share) - np.log(1 - share))))
            if abs(share - before) < ENOUGH:
                break
        return InterpolationWeights(share, 1 - share)


class Interpolation:
    """Scores whole sentences by both models.

    Args:
        ngram: The n-gram model of words.
        neural: Returns the neural model's log-probabilities of the words of texts.
        weights: How much each counts.
    """

    def __init__(
        self,
        ngram: NgramWords,
        neural: Callable[[Sequence[str]], WordScores],
        weights: InterpolationWeights,
    ) -> None:
        self.ngram, self.neural, self.weights = ngram, neural, weights

    def scores(self, texts: Sequence[str]) -> list[BothScores]:
        """Returns what both models say of the words of texts."""
        found: list[BothScores] = []
        for begin in range(0, len(texts), SENTENCES):
            part = texts[begin : begin + SENTENCES]
            words = [text.split() for text in part]
            pairs = zip(words, self.ngram.scores(words), self.neural(part), strict=True)
            for sentence, by_ngram, by_pieces in pairs:
                unknown = np.append(self.ngram.unknown_words(sentence), False)
                found.append(BothScores(by_ngram, by_pieces, unknown))
        return found

    def sentence_log_probs(self, texts: Sequence[str]) -> list[float]:
        """Returns interpolated log-probabilities of whole texts, their ends included."""
        different = list(dict.fromkeys(texts))
        scores = (float(both.mixed(self.weights).sum()) for both in self.scores(different))
        known = dict(zip(different, scores, strict=True))
        return [known[text] for text in texts]


def joined(parts: Sequence[BothScores]) -> BothScores:
    """Returns the scores of all sentences, one after the other."""
    return BothScores(
        np.concatenate([part.ngram for part in parts]),
        np.concatenate([part.neural for part in parts]),
        np.concatenate([part.unknown for part in parts]),
    )


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0.0, -values))
