"""The words that hypotheses spell, as numbers: labels may be cut from the same words in many ways.

A hypothesis has a hash of its letters and of the spaces between its words, which is a polynomial
modulo 2^64, and is told whether a space has to come before the next letter.
"""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.text.tokenizers import SPACE
from asrkit.text.vocabulary import Vocabulary

MULTIPLIER = 6364136223846793005
"""Base of the polynomial hashes that distinguish strings of labels, or of letters."""
MODULUS = 2**64


class WordStrings:
    """Follows the words of hypotheses from label to label.

    A state (..., 2) is the hash, 0 where nothing is written yet, and whether a word has ended.

    Args:
        vocabulary: The V labels. Where none has the sign of a space, each is a word.
        device: Where hypotheses are.
    """

    def __init__(self, vocabulary: Vocabulary, device: torch.device) -> None:
        symbols = vocabulary.symbols
        spaced = any(SPACE in symbol for symbol in symbols)
        texts = [symbol.replace(SPACE, " ") if spaced else f" {symbol}" for symbol in symbols]
        written = [" ".join(text.split()) for text in texts]

        def tensor(values: list[int]) -> Tensor:
            return torch.tensor(values, dtype=torch.int64, device=device)

        self._begins = tensor([text.startswith(" ") for text in texts])  # (V,)
        self._ends = tensor([text.endswith(" ") for text in texts])
        self._silent = tensor([not text for text in written])
        self._hashes = tensor([_hash(text) for text in written])
        self._factors = tensor([_signed(pow(MULTIPLIER, len(text), MODULUS)) for text in written])
        self._space = ord(" ") + 1

    def first(self, like: Tensor) -> Tensor:
        """Returns the states (..., 2) of hypotheses without labels, as many as there are numbers.

        Args:
            like: (...) any integers, for their number and device.
        """
        return torch.zeros_like(like, dtype=torch.int64)[..., None].repeat_interleave(2, -1)

    def after(self, state: Tensor, labels: Tensor) -> Tensor:
        """Returns the states (..., 2) after labels (...)."""
        hashes, ended = state.unbind(-1)
        started = hashes != 0
        apart = (ended + self._begins[labels] > 0) & started
        silent = self._silent[labels] > 0
        spaced = torch.where(apart & ~silent, hashes * MULTIPLIER + self._space, hashes)
        hashes = spaced * self._factors[labels] + self._hashes[labels]
        return torch.stack([hashes, torch.where(silent, apart, self._ends[labels])], dim=-1)

    def keys(self, state: Tensor) -> Tensor:
        """Returns numbers (...) that are the same where words, and what may follow, are."""
        return state[..., 0] * MULTIPLIER + state[..., 1]


def _hash(text: str) -> int:
    value = 0
    for letter in text:
        value = (value * MULTIPLIER + ord(letter) + 1) % MODULUS
    return _signed(value)


def _signed(value: int) -> int:
    """Returns a number modulo 2^64 as an int64."""
    return value - MODULUS if value >= MODULUS // 2 else value
