"""All ways to say a transcript with CTC of phones: variants of words, with blanks or without.

A phone may be repeated over frames; between two equal ones there has to be a blank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from asrkit.errors import UserError
from asrkit.hmm.graphs import NO_WORD
from asrkit.hmm.lexicon import Lexicon
from asrkit.hmm.viterbi import Ints, StateGraph

_BEGIN = -1
"""Where paths come from that begin with a state."""
_Frontier = list[tuple[int, float]]
"""States that what follows may come from, and costs of that."""


@dataclass(frozen=True)
class CtcGraph:
    """The graph of an utterance.

    Args:
        graph: Its S states; their scores are those of phones, and of blank.
        words: (S,) place of the word in the transcript; -1 for blanks.
    """

    graph: StateGraph
    words: Ints

    def spans(self, path: Ints) -> Iterator[tuple[int, int, int, int]]:
        """Yields phone, place of its word, first frame and end of all phones of a path (T,)."""
        changes = np.flatnonzero(np.diff(path)) + 1
        bounds = [0, *changes.tolist(), len(path)]
        for begin, end in zip(bounds[:-1], bounds[1:], strict=True):
            state = int(path[begin])
            if self.words[state] != NO_WORD:
                yield int(self.graph.states[state]), int(self.words[state]), begin, end


def ctc_graph(words: Sequence[str], lexicon: Lexicon, phones: Mapping[str, int]) -> CtcGraph:
    """Returns the graph of a transcript.

    Args:
        words: The transcript.
        lexicon: How words are pronounced.
        phones: The numbers of the K phones; blank is K.

    Raises:
        UserError: If a word has no pronunciation, or a phone that the model lacks.
    """
    making = _Making(len(phones))
    frontier = making.gap([(_BEGIN, 0.0)])
    for place, word in enumerate(words):
        if word not in lexicon:
            raise UserError(f"there is no pronunciation of {word!r} in {lexicon.source}")
        ends: _Frontier = []
        for variant in lexicon[word]:
            lacking = [phone for phone in variant.phones if phone not in phones]
            if lacking:
                raise UserError(
                    f"{lexicon.source} pronounces {word!r} with phones that the model lacks: "
                    f"{', '.join(lacking)}"
                )
            numbers = [phones[phone] for phone in variant.phones]
            ends.append((making.chain(frontier, numbers, place, variant.cost), 0.0))
        frontier = making.gap(ends)
    return making.graph(frontier)


class _Making:
    """States and arcs while they are put together; arcs lead to later states."""

    def __init__(self, blank: int) -> None:
        self.blank = blank
        self.columns: list[int] = []
        self.words: list[int] = []
        self.arcs: list[tuple[int, int, float]] = []

    def _add(self, column: int, word: int, before: _Frontier) -> int:
        node = len(self.columns)
        self.columns.append(column)
        self.words.append(word)
        self.arcs += [(node, source, cost) for source, cost in before]
        return node

    def gap(self, before: _Frontier) -> _Frontier:
        """Adds a blank that may be left out; returns what may be before the next phone."""
        return [(self._add(self.blank, NO_WORD, before), 0.0), *before]

    def chain(self, frontier: _Frontier, phones: Sequence[int], word: int, cost: float) -> int:
        """Adds a pronunciation; returns its last phone."""
        node = _BEGIN
        for number, phone in enumerate(phones):
            before = self.gap(frontier) if number else frontier
            # Equal phones without a blank between them would be one.
            others = [b for b in before if b[0] == _BEGIN or self.columns[b[0]] != phone]
            node = self._add(phone, word, [(source, paid + cost) for source, paid in others])
            frontier, cost = [(node, 0.0)], 0.0
        return node

    def graph(self, frontier: _Frontier) -> CtcGraph:
        """Returns the graph; paths end where a frontier is."""
        size = len(self.columns)
        starts, ends = np.full(size, np.inf, np.float32), np.full(size, np.inf, np.float32)
        for target, source, cost in self.arcs:
            if source == _BEGIN:
                starts[target] = cost
        for state, cost in frontier:
            if state != _BEGIN:
                ends[state] = cost
        inner = sorted(arc for arc in self.arcs if arc[1] != _BEGIN)
        offsets = np.searchsorted([target for target, *_ in inner], np.arange(size + 1))
        graph = StateGraph(
            np.array(self.columns, np.int32),
            np.zeros(size, np.float32),
            starts,
            ends,
            offsets.astype(np.int32),
            np.array([source for _, source, _ in inner], np.int32),
            np.array([cost for *_, cost in inner], np.float32),
        )
        return CtcGraph(graph, np.array(self.words, np.int32))
