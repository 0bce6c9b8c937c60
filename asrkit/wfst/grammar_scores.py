"""What a grammar, G, says of words alone: the part of a decoding graph's scores that is its LM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from asrkit.lm.tables import Ngrams
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
        return self._closed({self.grammar.start: 0.0})[1]

    def after(self, histories: Histories, word: int) -> tuple[float, Histories]:
        """Returns the cost of a word, and where it leads.

        Raises:
            ValueError: If the grammar doesn't have the word there.
        """
        key = histories, word
        if key not in self._known:
            self._known[key] = self._after(histories, word)
        return self._known[key]

    def _after(self, histories: Histories, word: int) -> tuple[float, Histories]:
        reached: dict[int, float] = {}
        for state, cost in histories:
            arc = self._arc(state, word)
            if arc is not None:
                target, total = int(self.grammar.targets[arc]), cost + self.grammar.costs[arc]
                reached[target] = min(float(total), reached.get(target, np.inf))
        if not reached:
            raise ValueError(f"the grammar has no arc of the word {word}")
        return self._closed(reached)

    def end(self, histories: Histories) -> float:
        """Returns the cost of ending."""
        return min(cost + float(self.grammar.finals[state]) for state, cost in histories)

    def _arc(self, state: int, label: int) -> int | None:
        begin, end = self.grammar.begins[state : state + 2]
        arc = begin + int(np.searchsorted(self.grammar.inputs[begin:end], label))
        return int(arc) if arc < end and self.grammar.inputs[arc] == label else None

    def _closed(self, reached: dict[int, float]) -> tuple[float, Histories]:
        """Returns the lowest cost, and all states that back-off arcs reach."""
        waiting = [*reached]
        while waiting:
            state = waiting.pop()
            arc = self._arc(state, self.backoff)
            if arc is None:
                continue
            target, total = int(self.grammar.targets[arc]), reached[state]
            total += float(self.grammar.costs[arc])
            if total < reached.get(target, np.inf):
                reached[target] = total
                waiting.append(target)
        best = min(reached.values())
        return best, tuple((s, round(cost - best, 6)) for s, cost in sorted(reached.items()))
