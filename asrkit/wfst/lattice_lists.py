"""N-best lists and posteriors of determinised lattices, with any weights of their scores."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from asrkit.lm.tables import Floats
from asrkit.wfst import lattice_kernels as kernels
from asrkit.wfst.determinised import WordLattice


class PartWeights(NamedTuple):
    """Factors of the scores of a lattice's parts."""

    acoustic: float
    lm: float
    pronunciation: float


@dataclass(frozen=True)
class ScoredWords:
    """A word sequence of a lattice.

    Args:
        words: Labels.
        score: By the weights.
        parts: (3,) the scores without weights.
        frames: How many frames were heard when each word was written.
        arcs: Of the lattice.
    """

    words: tuple[int, ...]
    score: float
    parts: Floats
    frames: tuple[int, ...]
    arcs: tuple[int, ...]


def best_words(lattice: WordLattice, weights: PartWeights, count: int) -> list[ScoredWords]:
    """Returns the best word sequences, best first."""
    costs, ends = weighted_costs(lattice, weights)
    to_end = kernels.costs_to_end(costs, ends, lattice.sources, lattice.targets)
    begins = np.searchsorted(lattice.sources, np.arange(len(ends) + 1))
    serials = itertools.count()  # equal costs are taken in the order they came
    waiting: list[tuple[float, int, float, int, tuple[int, ...]]] = []
    if len(ends) and np.isfinite(to_end[0]):
        waiting.append((float(to_end[0]), next(serials), 0.0, 0, ()))
    found: list[ScoredWords] = []
    while waiting and len(found) < count:
        total, _, cost, state, path = heapq.heappop(waiting)
        if state < 0:
            found.append(_scored(lattice, path, total))
            continue
        if np.isfinite(ends[state]):
            heapq.heappush(waiting, (cost + float(ends[state]), next(serials), cost, -1, path))
        for arc in range(begins[state], begins[state + 1]):
            target, reached = int(lattice.targets[arc]), cost + float(costs[arc])
            item = (reached + float(to_end[target]), next(serials), reached, target, (*path, arc))
            heapq.heappush(waiting, item)
    return found


def _scored(lattice: WordLattice, path: tuple[int, ...], cost: float) -> ScoredWords:
    arcs = np.array(path, np.int64)
    end = int(lattice.targets[arcs[-1]]) if path else 0
    parts = lattice.scores[arcs].sum(0) + lattice.ends[end]
    frames = tuple(lattice.frames[lattice.targets[arcs]].tolist())
    return ScoredWords(tuple(lattice.words[arcs].tolist()), -cost, parts, frames, path)


def weighted_costs(lattice: WordLattice, weights: PartWeights) -> tuple[Floats, Floats]:
    """Returns the costs of arcs (L,), and of ending (N,), infinite where no path ends."""
    factors = -np.array(weights)
    ends = np.full(len(lattice.ends), np.inf)
    finite = np.isfinite(lattice.ends).all(1)
    ends[finite] = lattice.ends[finite] @ factors
    return lattice.scores @ factors, ends
