"""N-gram models: a vocabulary, and a table of n-grams for every order.

A back-off model lists log p(w | h) for the n-grams h w that it knows. For any other word the
probability is that after the history without its first word, times the back-off weight of h.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
"""The symbols of ARPA files for out-of-vocabulary words and for sentence start and end."""
LOG_ZERO = -99.0
"""How ARPA files write the base 10 logarithm of zero."""

Ints = npt.NDArray[np.int64]
SmallInts = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
SmallFloats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Table:
    """The N n-grams of one order, k words each.

    Args:
        words: (N, k) indices into the symbols of the model, oldest word first.
        log_probs: (N,) base 10 logarithms of p(last word | words before it).
        log_backoffs: (N,) base 10 logarithms of the back-off weights; 0 where there is none.
    """

    words: SmallInts
    log_probs: SmallFloats
    log_backoffs: SmallFloats

    def __len__(self) -> int:
        return len(self.words)


@dataclass(frozen=True)
class Ngrams:
    """A back-off n-gram model.

    Args:
        symbols: The distinct words, including `<s>`, `</s>` and usually `<unk>`.
        tables: One per order, unigrams first.
    """

    symbols: list[str]
    tables: list[Table]

    @property
    def order(self) -> int:
        """Number of words of the longest n-grams."""
        return len(self.tables)
