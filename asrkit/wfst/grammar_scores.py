"""What a grammar, G, says of words alone: the part of a decoding graph's scores that is its LM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from asrkit.lm.tables import Ngrams
from asrkit.wfst import lattice_kernels as kernels
from asrkit.wfst.grammar import grammar
from asrkit.wfst.graph import Graph

Histories = tuple[tuple[int, float], ...]
"""States of G where the words so far may have led, in order, and their costs above the best one's.

G is not deterministic: a back-off may be taken where the longer n-gram exists, and paths through a
decoding graph take the cheaper one.
"""


def by_label(grammar: Graph) -> Graph:
    """Returns the grammar with the arcs of each state in the order of the labels they read."""
    order = np.lexsort((grammar.inputs, grammar.sources()))
    fields = grammar.inputs[order], grammar.outputs[order], grammar.costs[order]
    return Graph(grammar.start, grammar.finals, grammar.begins, *fields, grammar.targets[order])


def grammar_of(ngrams: Ngrams, words: Sequence[str]) -> Graph:
    """Returns G over words that can all be said, its arcs in the order of labels."""
    return by_label(grammar(ngrams, words, len(words) + 1))


@dataclass
class GrammarScores:
    """Follows words through a grammar; the best path counts, as in a search.

    Args:
        grammar: Its arcs in the order of labels.
        backoff: Label of back-off arcs.
    """

    grammar: Graph
    backoff: int
    _known: dict[tuple[Histories, int], tuple[float, Histories]] = field(default_factory=dict)

    def first(self) -> Histories:
        """Returns where sentences begin."""
        return self._reached(((self.grammar.start, 0.0),), 0)[1]

    def after(self, histories: Histories, word: int) -> tuple[float, Histories]:
        """Returns the cost of a word, and where it leads.

        Raises:
            ValueError: If the grammar doesn't have the word there.
        """
        key = histories, word
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._reached(histories, word)
        return found

    def end(self, histories: Histories) -> float:
        """Returns the cost of ending."""
        return min(cost + float(self.grammar.finals[state]) for state, cost in histories)

    def _reached(self, histories: Histories, word: int) -> tuple[float, Histories]:
        """Returns the lowest cost, and what a word, or 0 for none, and back-offs reach."""
        states = np.array([state for state, _ in histories], np.int64)
        costs = np.array([cost for _, cost in histories], np.float64)
        g = self.grammar
        arcs = g.begins, g.inputs, g.costs, g.targets
        best, found, above = kernels.after_word(states, costs, word, self.backoff, arcs)
        if not len(found):
            raise ValueError(f"the grammar has no arc of the word {word}")
        pairs = zip(found.tolist(), above.tolist(), strict=True)
        return float(best), tuple((state, round(cost, 6)) for state, cost in pairs)
