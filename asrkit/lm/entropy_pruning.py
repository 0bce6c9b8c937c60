"""Smaller n-gram models: what changes the model's distribution least is left out.

Source: Stolcke 1998, "Entropy-based pruning of backoff language models", equations 3 to 7.
"""

from __future__ import annotations

import numpy as np

from asrkit.errors import UserError
from asrkit.lm.tables import BEGIN, Bools, Floats, Ints, Ngrams, SmallFloats, Table
from asrkit.lm.trie import Trie

SMALLEST = 1e-9
"""Least probability that is left to words a history was not seen with."""


def pruned(ngrams: Ngrams, threshold: float) -> Ngrams:
    """Returns a model without the n-grams whose absence raises its perplexity by less than a share.

    Longest n-grams go first. Unigrams stay, and so do n-grams that begin longer ones which stay.

    Args:
        ngrams: A back-off model.
        threshold: Share by which the model's perplexity may rise for one n-gram, such as 1e-8.

    Raises:
        UserError: If the threshold is negative.
    """
    if threshold < 0:
        raise UserError(f"the pruning threshold ({threshold}) must be at least 0")
    begin, tables = ngrams.symbols.index(BEGIN), [*ngrams.tables]
    for k in range(ngrams.order, 1, -1):
        trie = Trie(Ngrams(ngrams.symbols, tables))
        kept = _rises(trie, k, begin) >= threshold
        if k < ngrams.order:
            kept[trie.prefixes[k]] = True  # longer n-grams begin with them
        table = trie.tables[k - 1]
        tables = [*trie.tables]
        tables[k - 1] = Table(table.words[kept], table.log_probs[kept], table.log_backoffs[kept])
    while len(tables) > 1 and not len(tables[-1]):
        tables.pop()
    # What shorter histories give has changed under longer ones: from the shortest up.
    for k in range(2, len(tables) + 1):
        tables[k - 2] = _with_backoffs(Trie(Ngrams(ngrams.symbols, tables)), k)
    return Ngrams(ngrams.symbols, tables)


def _rises(trie: Trie, k: int, begin: int) -> Floats:
    """Returns by which share perplexity rises without each n-gram (N,) of order k."""
    table, rows = trie.tables[k - 1], trie.prefixes[k - 1]
    words = table.words.astype(np.int64)
    own = 10.0 ** table.log_probs.astype(np.float64)
    lower = 10.0 ** trie.log_probs(words[:, 1:])
    free, free_below = _left(trie, k, own, lower)
    weight = 10.0 ** trie.tables[k - 2].log_backoffs[rows].astype(np.float64)
    new = (free[rows] + own) / (free_below[rows] + lower)
    change = np.log(lower) + np.log(new) - np.log(own)
    divergence = -_history(trie, words[:, :-1], begin) * (
        own * change + free[rows] * (np.log(new) - np.log(weight))
    )
    rises: Floats = np.expm1(divergence)
    return rises


def _left(trie: Trie, k: int, own: Floats, lower: Floats) -> tuple[Floats, Floats]:
    """Returns what each history (M,) leaves to words it was not seen with, above and below."""
    rows, size = trie.prefixes[k - 1], len(trie.tables[k - 2])
    above, below = (np.bincount(rows, values, size).astype(np.float64) for values in (own, lower))
    return np.maximum(1 - above, SMALLEST), np.maximum(1 - below, SMALLEST)


def _history(trie: Trie, words: Ints, begin: int) -> Floats:
    """Returns the model's probabilities (N,) of histories (N, k - 1)."""
    total = np.zeros(len(words))
    for size in range(1, words.shape[1] + 1):
        steps = trie.log_probs(words[:, :size])
        # Sentences begin without a choice.
        total += np.where(words[:, size - 1] == begin, 0.0, steps)
    shares: Floats = 10.0**total
    return shares


def _with_backoffs(trie: Trie, k: int) -> Table:
    """Returns the n-grams of order k - 1 with the weights that those of order k leave them."""
    table = trie.tables[k - 1]
    own = 10.0 ** table.log_probs.astype(np.float64)
    lower = 10.0 ** trie.log_probs(table.words[:, 1:].astype(np.int64))
    free, free_below = _left(trie, k, own, lower)
    seen: Bools = np.bincount(trie.prefixes[k - 1], minlength=len(free)) > 0
    logs = np.where(seen, np.log10(free) - np.log10(free_below), 0.0)
    weights: SmallFloats = logs.astype(np.float32)
    below = trie.tables[k - 2]
    return Table(below.words, below.log_probs, weights)
