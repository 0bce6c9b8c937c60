"""How sure a search is of the words of a determinised lattice.

Source: Wessel et al. 2001, section III.C (confidence as the posterior of one word over all arcs
that overlap with its time).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asrkit.lm.tables import Ints
from asrkit.wfst import lattice_kernels as kernels
from asrkit.wfst.determinised import WordLattice
from asrkit.wfst.lattice_lists import PartWeights, weighted_costs


def confidences(lattice: WordLattice, weights: PartWeights, path: Sequence[int]) -> list[float]:
    """Returns how probable each word of a path is at its place.

    That is the share of the word sequences, by their best paths, which have the word on an arc that
    overlaps with the path's. An arc lasts from where the word before was written to where its own
    word is, one frame at least.

    Args:
        lattice: The lattice.
        weights: Factors of its scores.
        path: Arcs, from the first state on.
    """
    costs, ends = weighted_costs(lattice, weights)
    begins, stops = _spans(lattice)
    places = lattice.sources, lattice.targets
    whole = kernels.log_sum(costs, ends, *places)
    found = []
    for arc in path:
        same = lattice.words == lattice.words[arc]
        same &= (begins < stops[arc]) & (stops > begins[arc])
        others = kernels.log_sum(np.where(same, np.inf, costs), ends, *places)
        found.append(float(np.clip(-np.expm1(others - whole), 0.0, 1.0)))
    return found


def alternatives(lattice: WordLattice, path: Sequence[int]) -> list[int]:
    """Returns how many different words are on arcs that overlap with each arc of a path."""
    begins, stops = _spans(lattice)
    return [
        len(np.unique(lattice.words[(begins < stops[arc]) & (stops > begins[arc])])) for arc in path
    ]


def _spans(lattice: WordLattice) -> tuple[Ints, Ints]:
    begins = lattice.frames[lattice.sources]
    return begins, np.maximum(lattice.frames[lattice.targets], begins + 1)
