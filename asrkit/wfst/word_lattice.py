"""Words in lattices: n-best lists, and how sure a search is of each word.

Source: Wessel et al. 2001, section III.C (confidence as the sum of the posteriors of the arcs of
one word that overlap in time).
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asrkit.lm.tables import Floats, Ints, SmallInts
from asrkit.wfst import lattice_kernels as kernels
from asrkit.wfst.token_passing import Lattice

SLACK = 15
"""Frames by which two paths may write a word apart and still mean the same one."""


@dataclass(frozen=True)
class WordPath:
    """A word sequence, and the costs of its best path.

    Args:
        words: Labels.
        graph_cost: Of the graph's arcs, and of ending.
        acoustic_cost: Negative scores.
        frames: How many frames were heard when each word was written; a graph may write a word
            frames before or after it begins, so that times are better had from an alignment.
    """

    words: tuple[int, ...]
    graph_cost: float
    acoustic_cost: float
    frames: tuple[int, ...]


def n_best(lattice: Lattice, count: int, graph_scale: float = 1.0) -> list[WordPath]:
    """Returns the best word sequences of a lattice, best first, each with its best path.

    Word sequences are extended best first, by what their best complete path costs; so the work
    grows with their number, while making a lattice of distinct sequences first may never end.

    Args:
        lattice: The lattice.
        count: How many at most.
        graph_scale: Factor of the graph's costs.
    """
    costs, finals = _costs(lattice, graph_scale), graph_scale * lattice.finals
    arcs = lattice.words, costs, finals, lattice.sources, lattice.targets
    to_end = kernels.costs_to_end(costs, finals, lattice.sources, lattice.targets)
    start = np.zeros(1, np.int64), np.zeros(1)
    waiting: list[tuple[float, int, _Beginning]] = [(float(to_end[0]), 0, _Beginning((), *start))]
    serials = itertools.count(1)  # equal costs are taken in the order they came
    found: list[WordPath] = []
    while waiting and len(found) < count:
        _, _, beginning = heapq.heappop(waiting)
        if beginning.places is None:
            found.append(best_path(lattice, beginning.words, graph_scale))
            continue
        ended, crossed, totals = kernels.next_words(
            beginning.places, beginning.costs, *arcs, to_end
        )
        if np.isfinite(ended):
            item = _Beginning(beginning.words, None, None)
            heapq.heappush(waiting, (float(ended), next(serials), item))
        for word in np.unique(lattice.words[crossed]).tolist():
            chosen = lattice.words[crossed] == word
            places, best = _best_of_each(lattice.targets[crossed[chosen]], totals[chosen])
            total = float((best + to_end[places]).min())
            item = _Beginning((*beginning.words, word), places, best)
            heapq.heappush(waiting, (total, next(serials), item))
    return found


@dataclass(frozen=True)
class _Beginning:
    """Some words, and the places where they may have been written, with the costs of that.

    Places are null where no more words follow.
    """

    words: tuple[int, ...]
    places: Ints | None
    costs: Floats | None


def _best_of_each(places: SmallInts, costs: Floats) -> tuple[Ints, Floats]:
    """Returns the distinct places, in order, and the lowest cost of each."""
    order = np.lexsort((costs, places))
    places, costs = places[order].astype(np.int64), costs[order]
    first = np.append(True, places[1:] != places[:-1])
    return places[first], costs[first]


def best_path(lattice: Lattice, words: Sequence[int], graph_scale: float = 1.0) -> WordPath:
    """Returns the best path of a word sequence.

    Raises:
        ValueError: If the lattice has no such path.
    """
    costs = _costs(lattice, graph_scale)
    finals = graph_scale * lattice.finals
    sequence = np.array(words, np.int32)
    places = lattice.sources, lattice.targets
    arcs, exists = kernels.best_path_of(lattice.words, sequence, costs, finals, *places)
    if not exists:
        raise ValueError(f"the lattice has no path of the words {tuple(words)}")
    end = lattice.targets[arcs[-1]] if len(arcs) else 0
    written = arcs[lattice.words[arcs] > 0]
    return WordPath(
        tuple(int(word) for word in words),
        float(lattice.graph_costs[arcs].sum(dtype=np.float64) + lattice.finals[end]),
        float(lattice.acoustic_costs[arcs].sum(dtype=np.float64)),
        tuple(lattice.frames[lattice.targets[written]].tolist()),
    )


def confidences(
    lattice: Lattice, path: WordPath, scale: float = 1.0, graph_scale: float = 1.0
) -> list[float]:
    """Returns how probable each word of a path is.

    Args:
        lattice: The lattice.
        path: One of its word sequences.
        scale: Factor of all costs; smaller ones give less extreme probabilities.
        graph_scale: Factor of the graph's costs, before.
    """
    costs, finals = scale * _costs(lattice, graph_scale), scale * graph_scale * lattice.finals
    shares = np.exp(kernels.arc_posteriors(costs, finals, lattice.sources, lattice.targets))
    frames = lattice.frames[lattice.targets]
    result = []
    for word, frame in zip(path.words, path.frames, strict=True):
        near = (lattice.words == word) & (np.abs(frames - frame) <= SLACK)
        result.append(min(1.0, float(shares[near].sum())))
    return result


def _costs(lattice: Lattice, graph_scale: float) -> Floats:
    costs: Floats = graph_scale * lattice.graph_costs.astype(np.float64) + lattice.acoustic_costs
    return costs
