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
from asrkit.lm.tables import BEGIN, END, UNKNOWN, Bools, Floats, Ints, Ngrams, SmallFloats
from asrkit.lm.trie import NONE, Trie
from asrkit.wfst.graph import EPSILON, Graph, graph_of


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
    histories = _Histories(ngrams, labels)
    arcs = [_word_arcs(histories, order) for order in range(1, ngrams.order + 1)]
    arcs.append(_backoff_arcs(histories, backoff))
    sources, inputs, costs, targets = (np.concatenate(column) for column in zip(*arcs, strict=True))
    outputs = np.where(inputs == backoff, EPSILON, inputs)
    start = histories.start()
    return graph_of(start, histories.finals(), sources, inputs, outputs, costs, targets)


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


class _Histories:
    """The n-grams of a model, and which of them are histories.

    `states[k]` (N,) is the state of each n-gram of order k, `NONE` where nothing comes after it.
    State 0 is the empty history.
    """

    def __init__(self, ngrams: Ngrams, labels: Ints) -> None:
        self.trie, self.order, self.labels = Trie(ngrams), ngrams.order, labels
        self.begin, self.end = (ngrams.symbols.index(word) for word in (BEGIN, END))
        self.tables, self.prefixes = self.trie.tables, self.trie.prefixes
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

    def _states(self) -> list[Ints]:
        states, count = [np.zeros(1, np.int64)], 1
        for k in range(1, self.order):
            # What backs off at a cost counts, even if all that was seen after it is left out.
            followed = self.tables[k - 1].log_backoffs != 0
            followed[self.prefixes[k][self.usable(k + 1)]] = True
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
            rows = self.trie.find(words[:, words.shape[1] - size :])
            numbers = np.where(rows == NONE, NONE, self.states[size][np.maximum(rows, 0)])
            now = open_ & (numbers != NONE)
            found[now] = numbers[now]
            open_ &= ~now
        return found

    def start(self) -> int:
        """Returns the state after `<s>`."""
        return int(self.state_of(np.array([[self.begin]]))[0])

    def sources(self, k: int, chosen: Bools) -> Ints:
        """Returns the states before the last words of chosen n-grams of order k."""
        if k == 1:
            return np.zeros(int(chosen.sum()), np.int64)
        return self.states[k - 1][self.prefixes[k - 1][chosen]]

    def finals(self) -> Floats:
        """Returns the costs (S,) of ending after each history, where `</s>` was seen after it."""
        ends = np.full(self.count, np.inf)
        for k, table in enumerate(self.tables, start=1):
            chosen = (table.words[:, -1] == self.end) & self.usable(k)
            ends[self.sources(k, chosen)] = costs_of(table.log_probs[chosen])
        return ends


def costs_of(log_probs: SmallFloats) -> Floats:
    """Returns negative natural logarithms of base 10 logarithms."""
    return -math.log(10) * log_probs.astype(np.float64)


def _word_arcs(histories: _Histories, k: int) -> tuple[Ints, Ints, Floats, Ints]:
    """Returns source, label, cost and target of the arcs of the n-grams of order k."""
    table = histories.tables[k - 1]
    chosen = histories.usable(k) & (histories.labels[table.words[:, -1]] > 0)
    words = table.words[chosen].astype(np.int64)
    labels, costs = histories.labels[words[:, -1]], costs_of(table.log_probs[chosen])
    return histories.sources(k, chosen), labels, costs, histories.state_of(words)


def _backoff_arcs(histories: _Histories, label: int) -> tuple[Ints, Ints, Floats, Ints]:
    """Returns source, label, cost and target of the arcs to shorter histories."""
    parts = []
    for k in range(1, histories.order):
        chosen = histories.states[k] != NONE
        table = histories.tables[k - 1]
        shorter = histories.state_of(table.words[chosen][:, 1:].astype(np.int64))
        parts.append((histories.states[k][chosen], costs_of(table.log_backoffs[chosen]), shorter))
    if not parts:
        none = np.zeros(0, np.int64)
        return none, none, np.zeros(0), none
    sources, costs, targets = (np.concatenate(column) for column in zip(*parts, strict=True))
    return sources, np.full(len(sources), label), costs, targets
