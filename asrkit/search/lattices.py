"""Hypotheses of determinised lattices, with the weights of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from asrkit.scorers.interfaces import Hypothesis
from asrkit.wfst.determinised import PARTS, WordLattice
from asrkit.wfst.graph_file import DecodingGraph
from asrkit.wfst.lattice_confidences import confidences
from asrkit.wfst.lattice_file import NamedLattice
from asrkit.wfst.lattice_lists import PartWeights, best_words, weighted_costs


def named(
    lattice: WordLattice, graph: DecodingGraph, scorers: Mapping[str, str], heard: int
) -> NamedLattice:
    """Returns a lattice of a graph with its own words, spelled.

    Args:
        lattice: Words are the graph's.
        graph: What was searched.
        scorers: Names of the search's scorers, by parts.
        heard: How many frames the utterance has.
    """
    used, places = np.unique(lattice.words, return_inverse=True)
    words = used - 1
    return NamedLattice(
        replace(lattice, words=places.astype(np.int64) + 1),
        [graph.words[word] for word in words],
        [graph.spellings[word] for word in words],
        scorers,
        heard,
    )


@dataclass(frozen=True)
class PlacedWord:
    """A word of a hypothesis.

    Args:
        word: The word.
        written: How many frames were heard when it was written.
        confidence: Its posterior probability in the lattice.
    """

    word: str
    written: int
    confidence: float


def part_weights(found: NamedLattice, weights: Mapping[str, float]) -> PartWeights:
    """Returns the factors of a lattice's scores; scorers without weight have 0."""
    return PartWeights(*(weights.get(found.scorers[part], 0.0) for part in PARTS))


def placed_words(
    found: NamedLattice, weights: Mapping[str, float], labels: Sequence[int]
) -> list[PlacedWord] | None:
    """Returns the words that some labels spell; None where the lattice doesn't have them.

    Args:
        found: A lattice.
        weights: Factors of the scores, by scorer.
        labels: Of a hypothesis.
    """
    factors, lattice = part_weights(found, weights), found.lattice
    path = path_of(found, factors, tuple(labels))
    if path is None:
        return None
    return [
        PlacedWord(
            found.words[int(lattice.words[arc]) - 1],
            int(lattice.frames[lattice.targets[arc]]),
            confidence,
        )
        for arc, confidence in zip(path, confidences(lattice, factors, path), strict=True)
    ]


def path_of(found: NamedLattice, factors: PartWeights, labels: tuple[int, ...]) -> list[int] | None:
    """Returns the arcs of the best path that spells labels; None where there is none."""
    lattice = found.lattice
    costs, ends = weighted_costs(lattice, factors)
    spelled = [tuple(found.spellings[word - 1]) for word in lattice.words.tolist()]
    best: dict[tuple[int, int], tuple[float, list[int]]] = {(0, 0): (0.0, [])}
    places: list[set[int]] = [{0}, *(set[int]() for _ in ends[1:])]
    for arc, source, target in zip(
        range(len(spelled)), lattice.sources.tolist(), lattice.targets.tolist(), strict=True
    ):
        for begin in places[source]:
            end = begin + len(spelled[arc])
            if labels[begin:end] != spelled[arc]:
                continue
            cost, path = best[source, begin]
            cost += float(costs[arc])
            if cost < best.get((target, end), (np.inf,))[0]:
                best[target, end] = cost, [*path, arc]
                places[target].add(end)
    complete = [
        (best[state, len(labels)][0] + float(ends[state]), best[state, len(labels)][1])
        for state in range(len(ends))
        if np.isfinite(ends[state]) and len(labels) in places[state]
    ]
    return min(complete)[1] if complete else None


def hypotheses_of(
    found: NamedLattice, weights: Mapping[str, float], count: int
) -> list[Hypothesis]:
    """Returns the best hypotheses, best first.

    Args:
        found: A lattice.
        weights: Factors of the scores, by scorer; those that are missing are 0.
        count: How many at most.
    """
    factors = part_weights(found, weights)
    result = []
    for best in best_words(found.lattice, factors, count):
        labels = chain.from_iterable(found.spellings[word - 1] for word in best.words)
        scores = dict.fromkeys(found.scorers.values(), 0.0)
        for part, score in zip(PARTS, best.parts.tolist(), strict=True):
            scores[found.scorers[part]] += score
        result.append(Hypothesis([*labels], best.score, scores))
    return result
