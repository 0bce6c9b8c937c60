"""The part of a decoding graph that writes given labels, and nothing else.

It is the composition of the graph with a line of labels, where words write their spellings; states
that lead to no end are left out, so that a search without any pruning stays small.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from asrkit.lm.tables import Ints
from asrkit.wfst import restricted_kernels as kernels
from asrkit.wfst.graph import Graph, graph_of
from asrkit.wfst.graph_file import DecodingGraph

Columns = list[tuple[Ints, Ints, Ints]]
"""Arcs in parts: sources, numbers in the decoding graph, and where they lead."""


class Restriction:
    """Restricts a decoding graph to label sequences.

    Args:
        graph: The graph.
    """

    def __init__(self, graph: DecodingGraph) -> None:
        self.graph, self.place = graph.graph.graph, graph.graph.place
        self.words: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for word, labels in enumerate(graph.spellings, start=1):
            self.words[tuple(labels)].append(word)
        self.longest = max(map(len, graph.spellings), default=0)
        self.sizes = np.zeros(len(graph.spellings) + 1, np.int64)

    def to(self, labels: Sequence[int]) -> Graph | None:
        """Returns the graph of all paths that write some labels; None if there are none."""
        graph = self.graph
        states: list[Ints] = []
        made: Columns = []
        # Arcs that write a word lead to a later place of the labels: there their targets, which
        # are states of the graph so far, get numbers.
        ahead: dict[int, Columns] = defaultdict(list)
        start, count = np.array([graph.start], np.int64), 0
        ends = np.full(0, np.inf)
        for at in range(len(labels) + 1):
            came = ahead.pop(at, [])
            seeds = np.concatenate([start if at == 0 else start[:0], *(part[2] for part in came)])
            with self._fitting(labels, at) as sizes:
                arrays = graph.begins, graph.outputs, graph.targets
                found = kernels.reached(np.unique(seeds), *arrays, sizes, self.place())
                layer, numbers, inside, leaving = found
                for size in np.unique(sizes[graph.outputs[leaving[1]]]).tolist():
                    rows = sizes[graph.outputs[leaving[1]]] == size
                    arcs = leaving[1][rows]
                    targets = graph.targets[arcs].astype(np.int64)
                    ahead[at + size].append((count + leaving[0][rows], arcs, targets))
            made.extend((s, arcs, count + _numbered(layer, numbers, t)) for s, arcs, t in came)
            targets = graph.targets[inside[1]].astype(np.int64)
            made.append((count + inside[0], inside[1], count + _numbered(layer, numbers, targets)))
            states.append(layer)
            count += len(layer)
            last = at == len(labels)
            costs = graph.finals[layer].astype(np.float64) if last else np.full(len(layer), np.inf)
            ends = np.concatenate([ends, costs])
        return self._trimmed(made, ends)

    @contextmanager
    def _fitting(self, labels: Sequence[int], at: int) -> Iterator[Ints]:
        """Gives how many labels each word has that may be written at a place; 0 for others."""
        found = [
            (word, size)
            for size in range(1, min(self.longest, len(labels) - at) + 1)
            for word in self.words.get(tuple(labels[at : at + size]), ())
        ]
        for word, size in found:
            self.sizes[word] = size
        yield self.sizes
        for word, _ in found:
            self.sizes[word] = 0

    def _trimmed(self, made: Columns, ends: Ints) -> Graph | None:
        """Returns the graph without states from which no path ends."""
        sources, arcs, targets = (np.concatenate(parts) for parts in zip(*made, strict=True))
        useful = kernels.leading_to_ends(np.isfinite(ends), sources, targets)
        if not len(useful) or not useful[0]:
            return None
        numbers, kept = np.cumsum(useful) - 1, useful[sources] & useful[targets]
        arcs = arcs[kept]
        graph = self.graph
        fields = graph.inputs[arcs], graph.outputs[arcs], graph.costs[arcs]
        return graph_of(0, ends[useful], numbers[sources[kept]], *fields, numbers[targets[kept]])


def _numbered(layer: Ints, numbers: Ints, states: Ints) -> Ints:
    """Returns the places in a layer of states; layers are looked up in order of their states."""
    found: Ints = numbers[np.searchsorted(layer, states, sorter=numbers)]
    return found
