"""Segmentation of training transcripts into units: the tokenizer's, or random ones.

Random choices come from a generator that the caller makes for each utterance and pass over the
data. So a run that continues sees the same labels, whatever the number of processes.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from random import Random

from asrkit.config.registry import Registry
from asrkit.errors import UserError
from asrkit.text.tokenizers import SPACE, SentencePieceTokenizer, Tokenizer

WORD = re.compile(f"{SPACE}*[^{SPACE}]+")


class Segmentation(ABC):
    """Splits transcripts of training data into labels."""

    @abstractmethod
    def require(self, tokenizer: Tokenizer) -> None:
        """Checks that a tokenizer has what this segmentation needs.

        Raises:
            UserError: If it has not.
        """

    @abstractmethod
    def encode(self, tokenizer: Tokenizer, text: str, random: Random) -> list[int]:
        """Returns the label ids of a text.

        Raises:
            UserError: If the text has symbols that are not in the vocabulary.
        """


segmentations: Registry[Segmentation] = Registry("segmentation", Segmentation)


@segmentations.register("best")
class BestSegmentation(Segmentation):
    """The tokenizer's own units, as on dev data."""

    def require(self, tokenizer: Tokenizer) -> None:
        """Accepts every tokenizer."""

    def encode(self, tokenizer: Tokenizer, text: str, random: Random) -> list[int]:
        """Returns the tokenizer's labels."""
        return tokenizer.encode(text)


@segmentations.register("bpe_dropout")
class BpeDropout(Segmentation):
    """BPE-dropout: byte-pair encoding with random merges left out, so that units are shorter.

    In each step every possible merge is left out at random; of the others, the one learned first
    is applied. When all are left out, a word is done.

    Args:
        probability: That a merge is left out in a step; 0 gives the tokenizer's own units.

    Raises:
        ValueError: If the probability is not between 0 and 1.

    Source: Provilkov et al. 2020, "BPE-dropout: simple and effective subword regularization",
        algorithm 1.
    """

    def __init__(self, probability: float) -> None:
        if not 0.0 <= probability <= 1.0:
            raise ValueError(f"probability ({probability}) must be between 0 and 1")
        self.probability = probability

    def require(self, tokenizer: Tokenizer) -> None:
        """Accepts tokenizers that know the order of their merges."""
        if not isinstance(tokenizer, SentencePieceTokenizer) or not tokenizer.merges:
            raise UserError(
                "data.segmentation: bpe_dropout needs the merges of byte-pair encoding, but the "
                f"tokenizer is {type(tokenizer).__name__} without merges; expected type: "
                "sentencepiece, "
                "made with `asrkit tokenizer bpe`"
            )

    def encode(self, tokenizer: Tokenizer, text: str, random: Random) -> list[int]:
        """Returns sampled label ids."""
        assert isinstance(tokenizer, SentencePieceTokenizer)
        vocabulary = tokenizer.vocabulary
        # The tokenizer's own units give the characters, and unknown ones are refused.
        written = "".join(vocabulary.symbols[label] for label in tokenizer.encode(text))
        units = [
            unit
            for word in WORD.findall(written)
            for unit in self._merged(word, tokenizer.merges, random)
        ]
        return [label for unit in units if (label := vocabulary.id_of(unit)) is not None]

    def _merged(self, word: str, merges: dict[str, int], random: Random) -> list[str]:
        """Returns the units of a word, from single characters."""
        units = list(word)
        while True:
            pairs = [a + b for a, b in zip(units, units[1:], strict=False)]
            possible = [
                (merges[pair], place)
                for place, pair in enumerate(pairs)
                if pair in merges and random.random() >= self.probability
            ]
            if not possible:
                return units
            _, place = min(possible)
            units[place : place + 2] = [pairs[place]]
