"""Words in lattices: n-best lists, and how sure a search is of each word.

Source: Wessel et al. 2001, section III.C (confidence as the sum of the posteriors of the arcs of
one word that overlap in time).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asrkit.lm.tables import Floats
from asrkit.wfst import lattice_kernels as kernels
from asrkit.wfst.graph import to_openfst
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

    Args:
        lattice: The lattice.
        count: How many at most.
        graph_scale: Factor of the graph's costs.
    """
    import kaldifst

    acceptor = to_openfst(lattice.as_acceptor(graph_scale))
    # A lattice has many alignments of each word sequence; now it has one.
    kaldifst.determinize_star(acceptor)
    paths = kaldifst.convert_nbest_to_vector(kaldifst.shortest_path(acceptor, n=count))
    sequences = [kaldifst.get_linear_symbol_sequence(path)[2] for path in paths]
    found = [best_path(lattice, words, graph_scale) for words in sequences]
    return sorted(found, key=lambda p: graph_scale * p.graph_cost + p.acoustic_cost)


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
