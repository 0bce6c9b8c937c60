"""Hypotheses of determinised lattices, with the weights of a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain

import numpy as np

from asrkit.scorers.interfaces import Hypothesis
from asrkit.wfst.determinised import PARTS, WordLattice
from asrkit.wfst.graph_file import DecodingGraph
from asrkit.wfst.lattice_file import NamedLattice
from asrkit.wfst.lattice_lists import PartWeights, best_words


def named(lattice: WordLattice, graph: DecodingGraph, scorers: Mapping[str, str]) -> NamedLattice:
    """Returns a lattice of a graph with its own words, spelled.

    Args:
        lattice: Words are the graph's.
        graph: What was searched.
        scorers: Names of the search's scorers, by parts.
    """
    used, places = np.unique(lattice.words, return_inverse=True)
    words = used - 1
    return NamedLattice(
        replace(lattice, words=places.astype(np.int64) + 1),
        [graph.words[word] for word in words],
        [graph.spellings[word] for word in words],
        scorers,
    )


def hypotheses_of(
    found: NamedLattice, weights: Mapping[str, float], count: int
) -> list[Hypothesis]:
    """Returns the best hypotheses, best first.

    Args:
        found: A lattice.
        weights: Factors of the scores, by scorer; those that are missing are 0.
        count: How many at most.
    """
    factors = PartWeights(*(weights.get(found.scorers[part], 0.0) for part in PARTS))
    result = []
    for best in best_words(found.lattice, factors, count):
        labels = chain.from_iterable(found.spellings[word - 1] for word in best.words)
        scores = dict.fromkeys(found.scorers.values(), 0.0)
        for part, score in zip(PARTS, best.parts.tolist(), strict=True):
            scores[found.scorers[part]] += score
        result.append(Hypothesis([*labels], best.score, scores))
    return result
