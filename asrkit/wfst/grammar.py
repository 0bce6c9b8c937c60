"""G: an n-gram model as an acceptor of words.

A state is a history: the last words so far, as many as the model knows n-grams that continue them.
An arc reads a word and leads to the longest history that then holds; a back-off arc, with a label
of its own, leads to the history without its first word. Sentence ends are costs of ending.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from asrkit.errors import UserError
from asrkit.lm.tables import BEGIN, END, UNKNOWN, Bools, Floats, Ints, Ngrams, SmallFloats, Table
from asrkit.wfst.graph import EPSILON, Graph, graph_of

NONE = -1
"""Stands for an n-gram that the model does not have."""


def grammar(ngrams: Ngrams, words: Sequence[str], backoff: int) -> Graph:
    """Returns G over the given words; word w has label w + 1, read and written.

    Words of the model that are not among them, such as `<unk>`, can't be recognised: their n-grams
    are left out, and nothing gets their probability.

    Args:
        ngrams: The model.
        words: The words that may be recognised.
        backoff: Label that back-off arcs read; they write nothing.

    Raises:
        UserError: If none of the words is one of the model's, or the model lacks prefixes of its
            n-grams.
    """
    labels = _labels(ngrams, words)
    trie = _Trie(ngrams, labels)
    arcs = [_word_arcs(trie, order) for order in range(1, ngrams.order + 1)]
    arcs.append(_backoff_arcs(trie, backoff))
    sources, inputs, costs, targets = (np.concatenate(column) for column in zip(*arcs, strict=True))
    outputs = np.where(inputs == backoff, EPSILON, inputs)
    start = trie.start()
    return graph_of(start, trie.finals(), sources, inputs, outputs, costs, targets)


def _labels(ngrams: Ngrams, words: Sequence[str]) -> Ints:
    """Returns the label of each symbol of the model: 0 for those that are not among the words."""
    place = {word: label for label, word in enumerate(words, start=1)}
    for special in (BEGIN, END, UNKNOWN):
        place.pop(special, None)
    labels = np.array([place.get(symbol, 0) for symbol in ngrams.symbols], np.int64)
    if not labels.any():
        shown = ", ".join([*words[:3], "..."])
        raise UserError(
            f"the n-gram model has none of the {len(words)} words ({shown}): it is of other units, "
            f"such as {', '.join(ngrams.symbols[:3])}"
        )
    return labels


class _Trie:
    """The n-grams of a model, findable by the row of their first words and their last word.

    Rows of each order k are those of its table, sorted; `states[k]` is the state of each n-gram of
    order k that is a history, `NONE` where nothing comes after it. State 0 is the empty history.
    """

    def __init__(self, ngrams: Ngrams, labels: Ints) -> None:
        self.order, self.labels = ngrams.order, labels
        self.width = len(ngrams.symbols)
        self.begin, self.end = (ngrams.symbols.index(word) for word in (BEGIN, END))
        self.tables: list[Table] = []
        self.keys: list[Ints] = []
        self.prefixes: list[Ints] = [np.zeros(0, np.int64)]
        for k, table in enumerate(ngrams.tables, start=1):
            prefix = (
                self.find(table.words[:, :-1].astype(np.int64))
                if k > 1
                else np.zeros(len(table), np.int64)
            )
            if (prefix == NONE).any():
                raise UserError(f"the n-gram model has a {k}-gram without its first {k - 1} words")
            keys = prefix * self.width + table.words[:, -1]
            order = np.argsort(keys, kind="stable")
            self.keys.append(keys[order])
            self.tables.append(
                Table(table.words[order], table.log_probs[order], table.log_backoffs[order])
            )
            self.prefixes.append(prefix[order])
        self.states = self._states()

    def usable(self, k: int) -> Bools:
        """Returns which n-grams (N,) of order k have only words that may be recognised.

        `<s>` may be the first one, and `</s>` the last.
        """
        words = self.tables[k - 1].words
        known = self.labels[words] > 0
        known[:, 0] |= words[:, 0] == self.begin
        known[:, -1] |= words[:, -1] == self.end
        usable: Bools = known.all(1) & ((words[:, -1] != self.begin) | (k == 1))
        return usable

    def find(self, words: Ints) -> Ints:
        """Returns the rows (N,) of n-grams (N, k), or `NONE`."""
        rows = np.zeros(len(words), np.int64)
        for column, keys in zip(words.T, self.keys, strict=False):
            wanted = np.where(rows == NONE, NONE, rows * self.width + column)
            rows = np.searchsorted(keys, wanted)
            hit = (rows < len(keys)) & (keys[np.minimum(rows, len(keys) - 1)] == wanted)
            rows = np.where(hit, rows, NONE)
        return rows

    def _states(self) -> list[Ints]:
        states, count = [np.zeros(1, np.int64)], 1
        for k in range(1, self.order):
            # What backs off at a cost counts, even if all that was seen after it is left out.
            followed = self.tables[k - 1].log_backoffs != 0
            followed[self.prefixes[k + 1][self.usable(k + 1)]] = True
            followed &= self.usable(k)
            followed &= self.tables[k - 1].words[:, -1] != self.end
            numbers = np.full(len(followed), NONE, np.int64)
            numbers[followed] = count + np.arange(followed.sum())
            count += int(followed.sum())
            states.append(numbers)
        self.count = count
        return states

    def state_of(self, words: Ints) -> Ints:
        """Returns the states (N,) of the longest histories at the ends of words (N, k)."""
        found = np.zeros(len(words), np.int64)
        open_ = np.ones(len(words), bool)
        for size in range(min(words.shape[1], self.order - 1), 0, -1):
            rows = self.find(words[:, words.shape[1] - size :])
            numbers = np.where(rows == NONE, NONE, self.states[size][np.maximum(rows, 0)])
            now = open_ & (numbers != NONE)
            found[now] = numbers[now]
            open_ &= ~now
        return found

    def start(self) -> int:
        """Returns the state after `<s>`."""
        return int(self.state_of(np.array([[self.begin]]))[0])

    def finals(self) -> Floats:
        """Returns the costs (S,) of ending after each history, where `</s>` was seen after it."""
        ends = np.full(self.count, np.inf)
        for k in range(1, self.order + 1):
            table = self.tables[k - 1]
            chosen = (table.words[:, -1] == self.end) & self.usable(k)
            sources = self.states[k - 1][self.prefixes[k][chosen]] if k > 1 else np.zeros(1, int)
            ends[sources] = costs_of(table.log_probs[chosen])
        return ends


def costs_of(log_probs: SmallFloats) -> Floats:
    """Returns negative natural logarithms of base 10 logarithms."""
    return -math.log(10) * log_probs.astype(np.float64)


def _word_arcs(trie: _Trie, k: int) -> tuple[Ints, Ints, Floats, Ints]:
    """Returns source, label, cost and target of the arcs of the n-grams of order k."""
    table = trie.tables[k - 1]
    chosen = trie.usable(k) & (trie.labels[table.words[:, -1]] > 0)
    words = table.words[chosen].astype(np.int64)
    sources = (
        trie.states[k - 1][trie.prefixes[k][chosen]] if k > 1 else np.zeros(len(words), np.int64)
    )
    return (
        sources,
        trie.labels[words[:, -1]],
        costs_of(table.log_probs[chosen]),
        trie.state_of(words),
    )


def _backoff_arcs(trie: _Trie, label: int) -> tuple[Ints, Ints, Floats, Ints]:
    """Returns source, label, cost and target of the arcs to shorter histories."""
    parts = []
    for k in range(1, trie.order):
        chosen = trie.states[k] != NONE
        table = trie.tables[k - 1]
        shorter = trie.state_of(table.words[chosen][:, 1:].astype(np.int64))
        parts.append((trie.states[k][chosen], costs_of(table.log_backoffs[chosen]), shorter))
    if not parts:
        none = np.zeros(0, np.int64)
        return none, none, np.zeros(0), none
    sources, costs, targets = (np.concatenate(column) for column in zip(*parts, strict=True))
    return sources, np.full(len(sources), label), costs, targets
