"""The part of a decoding graph that all words share: what back-off leads to.

Thousands of histories back off to a few states, from which nearly all words can be said. Whoever
wants some words only finds them there by going back from the arcs that write them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asrkit.lm.tables import Bools, Ints, SmallInts
from asrkit.wfst import restricted_kernels as kernels
from asrkit.wfst.graph import EPSILON, Graph

HUB = 200
"""Arcs that read and write nothing into a state from which many words can be said."""


@dataclass(frozen=True)
class Shared:
    """All R states that hubs lead to without writing a word.

    Args:
        states: (R,) of the graph.
        numbers: (S,) the number of each state of the graph among them; -1 of others.
        begins: (R + 1,) where the arcs into each state begin that write nothing.
        sources: (A,) numbers of the states that these come from.
        arcs: (A,) the arcs.
        word_begins: (W + 2,) where the arcs begin that write each word.
        word_sources: Numbers of the states that these leave.
        word_arcs: The arcs.
        ends: Numbers of the states where paths end.
        taken: (R,) false everywhere.
    """

    states: Ints
    numbers: SmallInts
    begins: Ints
    sources: Ints
    arcs: Ints
    word_begins: Ints
    word_sources: Ints
    word_arcs: Ints
    ends: Ints
    taken: Bools

    def leading_to(
        self, words: Sequence[int], ends: bool
    ) -> tuple[Ints, tuple[Ints, Ints, Ints], tuple[Ints, Ints]]:
        """Returns the states from which words may be written next, or where paths may end.

        Args:
            words: The words.
            ends: Whether paths may end.

        Returns:
            The states; source, arc and target of the arcs between them; source and arc of those
            that write a word. States are those of the graph.
        """
        spans = [range(self.word_begins[w], self.word_begins[w + 1]) for w in words]
        rows = np.array([row for span in spans for row in span], np.int64)
        roots = [self.word_sources[rows], self.ends if ends else self.ends[:0]]
        found = kernels.backwards(np.concatenate(roots), self.begins, self.sources, self.taken)
        counts = self.begins[found + 1] - self.begins[found]
        firsts = np.repeat(self.begins[found] - np.cumsum(counts) + counts, counts)
        entries = firsts + np.arange(len(firsts))
        into = np.repeat(self.states[found], counts)
        inside = self.states[self.sources[entries]], self.arcs[entries], into
        return (
            self.states[found],
            inside,
            (self.states[self.word_sources[rows]], self.word_arcs[rows]),
        )


def shared(graph: Graph, place: SmallInts, words: int, hub: int = HUB) -> Shared:
    """Returns what hubs lead to.

    Args:
        graph: The decoding graph.
        place: (S,) -1 everywhere.
        words: W.
        hub: Arcs into a state that make it a hub.
    """
    quiet = (graph.inputs == EPSILON) & (graph.outputs == EPSILON)
    hubs = np.flatnonzero(np.bincount(graph.targets[quiet], minlength=graph.num_states) >= hub)
    sizes, none = np.ones(words + 1, np.int64), np.full(graph.num_states, -1, np.int32)
    arrays = graph.begins, graph.outputs, graph.targets, sizes
    states, _, inside, leaving = kernels.reached(hubs, *arrays, place, none)
    numbers = none
    numbers[states] = np.arange(len(states), dtype=np.int32)
    targets = numbers[graph.targets[inside[1]]]
    order, written = np.argsort(targets, kind="stable"), graph.outputs[leaving[1]]
    by_word = np.argsort(written, kind="stable")
    return Shared(
        states,
        numbers,
        np.searchsorted(targets[order], np.arange(len(states) + 1)),
        inside[0][order],
        inside[1][order],
        np.searchsorted(written[by_word], np.arange(words + 2)),
        leaving[0][by_word],
        leaving[1][by_word],
        np.flatnonzero(np.isfinite(graph.finals[states])),
        np.zeros(len(states), np.bool_),
    )
