"""N-grams that can be found: by the row of their first words and their last word."""

from __future__ import annotations

import numpy as np

from asrkit.errors import UserError
from asrkit.lm.tables import Floats, Ints, Ngrams, Table

NONE = -1
"""Stands for the row of an n-gram that the model does not have."""


class Trie:
    """The n-grams of a model, those of each order sorted.

    `tables[k - 1]` has the n-grams of order k; `prefixes[k - 1]` (N,) the rows of their first k - 1
    words in the order below, 0 where k is 1.

    Args:
        ngrams: The model.

    Raises:
        UserError: If it lacks the first words of one of its n-grams.
    """

    def __init__(self, ngrams: Ngrams) -> None:
        self.order, self.width = ngrams.order, len(ngrams.symbols)
        self.tables: list[Table] = []
        self.prefixes: list[Ints] = []
        self._keys: list[Ints] = []
        for k, table in enumerate(ngrams.tables, start=1):
            words = table.words.astype(np.int64)
            prefix = self.find(words[:, :-1])
            if (prefix == NONE).any():
                raise UserError(f"the n-gram model has a {k}-gram without its first {k - 1} words")
            keys = prefix * self.width + words[:, -1]
            order = np.argsort(keys, kind="stable")
            self._keys.append(keys[order])
            self.prefixes.append(prefix[order])
            self.tables.append(
                Table(table.words[order], table.log_probs[order], table.log_backoffs[order])
            )

    def find(self, words: Ints) -> Ints:
        """Returns the rows (N,) of n-grams (N, k) in their order, or `NONE`; 0 where k is 0."""
        rows = np.zeros(len(words), np.int64)
        for column, keys in zip(words.T, self._keys, strict=False):
            wanted = np.where(rows == NONE, NONE, rows * self.width + column)
            rows = np.searchsorted(keys, wanted)
            hit = (rows < len(keys)) & (keys[np.minimum(rows, len(keys) - 1)] == wanted)
            rows = np.where(hit, rows, NONE)
        return rows

    def log_probs(self, words: Ints) -> Floats:
        """Returns base 10 logarithms (N,) of p(last word | words before), of words (N, k)."""
        k = words.shape[1]
        rows = self.find(words)
        found: Floats = self.tables[k - 1].log_probs[np.maximum(rows, 0)].astype(np.float64)
        backed_off = rows == NONE
        if k > 1 and backed_off.any():
            some = words[backed_off]
            history = self.find(some[:, :-1])
            weights = self.tables[k - 2].log_backoffs[np.maximum(history, 0)].astype(np.float64)
            weights[history == NONE] = 0.0
            found[backed_off] = weights + self.log_probs(some[:, 1:])
        return found
