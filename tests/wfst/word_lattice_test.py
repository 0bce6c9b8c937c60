"""Words of lattices against all of their paths, one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from asrkit.wfst.token_passing import Lattice
from asrkit.wfst.word_lattice import best_path, confidences, n_best
from tests.wfst.token_passing_test import lattice_of, random_graph, scores_of

pytest.importorskip("kaldifst")


def lattice(seed: int) -> Lattice | None:
    return lattice_of(random_graph(seed), scores_of(seed, 4))


LATTICES = [found for found in map(lattice, range(20)) if found is not None]


def all_paths(
    lattice: Lattice, place: int = 0
) -> Iterator[tuple[tuple[int, ...], float, float, tuple[int, ...]]]:
    """Yields words, graph cost, acoustic cost and frames of the words of every path."""
    if math.isfinite(lattice.finals[place]):
        yield (), float(lattice.finals[place]), 0.0, ()
    for arc in np.flatnonzero(lattice.sources == place):
        target, word = int(lattice.targets[arc]), int(lattice.words[arc])
        assert target > place
        for words, graph, acoustic, frames in all_paths(lattice, target):
            if word:
                words, frames = (word, *words), (int(lattice.frames[target]), *frames)
            costs = float(lattice.graph_costs[arc]), float(lattice.acoustic_costs[arc])
            yield words, graph + costs[0], acoustic + costs[1], frames


@pytest.mark.parametrize("scale", [1.0, 0.3])
@pytest.mark.parametrize("lattice", LATTICES)
def test_the_n_best_list_is_that_of_all_paths(lattice: Lattice, scale: float) -> None:
    best: dict[tuple[int, ...], tuple[float, float, float]] = {}
    for words, graph, acoustic, _ in all_paths(lattice):
        total = scale * graph + acoustic
        if total < best.get(words, (math.inf,))[0]:
            best[words] = (total, graph, acoustic)
    expected = sorted(best.items(), key=lambda item: item[1])[:5]
    found = n_best(lattice, 5, scale)
    totals = [scale * path.graph_cost + path.acoustic_cost for path in found]
    assert totals == pytest.approx([costs[0] for _, costs in expected], abs=1e-3)
    for path in found:
        _, graph, acoustic = best[path.words]
        assert path.graph_cost == pytest.approx(graph, abs=1e-4)
        assert path.acoustic_cost == pytest.approx(acoustic, abs=1e-4)


@pytest.mark.parametrize("lattice", LATTICES)
def test_words_are_as_probable_as_all_paths_say(lattice: Lattice) -> None:
    path = n_best(lattice, 1)[0]
    paths = list(all_paths(lattice))
    total = sum(math.exp(-graph - acoustic) for _, graph, acoustic, _ in paths)
    for place, (word, sure) in enumerate(zip(path.words, confidences(lattice, path), strict=True)):
        del place
        # The whole lattice is shorter than what counts as the same time.
        shares = [words.count(word) * math.exp(-g - a) for words, g, a, _ in paths]
        assert sure == pytest.approx(min(1.0, sum(shares) / total), abs=1e-6)


def test_words_that_are_not_in_the_lattice_are_refused() -> None:
    with pytest.raises(ValueError, match="no path of the words"):
        best_path(LATTICES[0], [9, 9])
