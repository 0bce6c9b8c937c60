"""The part of a decoding graph that writes given labels, and nothing else.

It is the composition of the graph with a line of labels, where words write their spellings; states
that lead to no end are left out, so that a search without any pruning stays small.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from asrkit.lm.tables import Floats, Ints
from asrkit.wfst import restricted_kernels as kernels
from asrkit.wfst.graph import Graph, graph_of
from asrkit.wfst.graph_file import DecodingGraph
from asrkit.wfst.hubs import HUB, shared

Columns = list[tuple[Ints, Ints, Ints]]
"""Arcs in parts: sources, numbers in the decoding graph, and where they lead."""


class Restriction:
    """Restricts a decoding graph to label sequences.

    Args:
        graph: The graph.
        hub: Arcs into a state that make it one that most words share.
    """

    def __init__(self, graph: DecodingGraph, hub: int = HUB) -> None:
        self.graph, self.place = graph.graph.graph, graph.graph.place
        self.words: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for word, labels in enumerate(graph.spellings, start=1):
            self.words[tuple(labels)].append(word)
        self.longest = max(map(len, graph.spellings), default=0)
        self.sizes = np.zeros(len(graph.spellings) + 1, np.int64)
        self.shared = shared(self.graph, self.place(), len(graph.spellings), hub)

    def to(self, labels: Sequence[int]) -> Graph | None:
        """Returns the graph of all paths that write some labels; None if there are none."""
        graph = self.graph
        made: Columns = []
        # Arcs that write a word lead to a later place of the labels: there their targets, which
        # are states of the graph so far, get numbers.
        ahead: dict[int, Columns] = defaultdict(list)
        start, first, count = np.array([graph.start], np.int64), 0, 0
        ends = np.full(0, np.inf)
        for at in range(len(labels) + 1):
            came = ahead.pop(at, [])
            seeds = np.concatenate([start if at == 0 else start[:0], *(part[2] for part in came)])
            words, last = self._fitting(labels, at), at == len(labels)
            layer, inside, leaving = self._layer(np.unique(seeds), words, last)
            ahead_by = np.array([words[w] for w in graph.outputs[leaving[1]].tolist()], np.int64)
            for size in np.unique(ahead_by).tolist():
                rows = ahead_by == size
                arcs = leaving[1][rows]
                targets = graph.targets[arcs].astype(np.int64)
                ahead[at + size].append((count + leaving[0][rows], arcs, targets))
            made.extend((s, arcs, count + np.searchsorted(layer, t)) for s, arcs, t in came)
            targets = graph.targets[inside[1]].astype(np.int64)
            made.append((count + inside[0], inside[1], count + np.searchsorted(layer, targets)))
            first = first if at else int(np.searchsorted(layer, graph.start))
            count += len(layer)
            costs = graph.finals[layer].astype(np.float64) if last else np.full(len(layer), np.inf)
            ends = np.concatenate([ends, costs])
        return self._trimmed(made, first, ends)

    def _fitting(self, labels: Sequence[int], at: int) -> dict[int, int]:
        """Returns the words that may be written at a place, and how many labels they have."""
        return {
            word: size
            for size in range(1, min(self.longest, len(labels) - at) + 1)
            for word in self.words.get(tuple(labels[at : at + size]), ())
        }

    def _layer(
        self, seeds: Ints, words: dict[int, int], last: bool
    ) -> tuple[Ints, tuple[Ints, Ints], tuple[Ints, Ints]]:
        """Returns states in order, and sources (places among them) and numbers of arcs.

        These are the arcs between them, and those that write a word. Of what hubs lead to there is
        only what is of use.
        """
        graph = self.graph
        for word, size in words.items():
            self.sizes[word] = size
        arrays = graph.begins, graph.outputs, graph.targets, self.sizes
        found = kernels.reached(seeds, *arrays, self.place(), self.shared.numbers)
        for word in words:
            self.sizes[word] = 0
        own, _, inside, leaving = found
        more, between, written = self.shared.leading_to([*words], last)
        layer = np.union1d(own, more)
        sources = np.concatenate([own[inside[0]], between[0]])
        writers = np.concatenate([own[leaving[0]], written[0]])
        return (
            layer,
            (np.searchsorted(layer, sources), np.concatenate([inside[1], between[1]])),
            (np.searchsorted(layer, writers), np.concatenate([leaving[1], written[1]])),
        )

    def _trimmed(self, made: Columns, first: int, ends: Floats) -> Graph | None:
        """Returns the graph without states from which no path ends."""
        sources, arcs, targets = (np.concatenate(parts) for parts in zip(*made, strict=True))
        useful = kernels.leading_to_ends(np.isfinite(ends), sources, targets)
        if not useful[first]:
            return None
        numbers, kept = np.cumsum(useful) - 1, useful[sources] & useful[targets]
        arcs = arcs[kept]
        graph = self.graph
        fields = graph.inputs[arcs], graph.outputs[arcs], graph.costs[arcs]
        start, states = int(numbers[first]), (numbers[sources[kept]], numbers[targets[kept]])
        return graph_of(start, ends[useful], states[0], *fields, states[1])
