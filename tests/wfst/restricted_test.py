"""Parts of graphs that write given labels, whatever is shared by words."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from asrkit.wfst.graph import Graph
from asrkit.wfst.graph_file import DecodingGraph
from asrkit.wfst.restricted import Restriction
from asrkit.wfst.token_passing import search_graph
from tests.wfst.decoding_graph_test import graph_costs
from tests.wfst.token_passing_test import random_graph, scores_of

pytest.importorskip("kaldifst")
SPELLINGS = [[0], [1], [0, 1]]


def of_labels(graph: Graph, frames: int, seed: int) -> dict[tuple[int, ...], float]:
    """Returns the cost of the best path of each label sequence that words spell."""
    best: dict[tuple[int, ...], float] = {}
    for words, cost in graph_costs(graph, scores_of(seed, frames)).items():
        labels = tuple(label for word in words for label in SPELLINGS[word - 1])
        best[labels] = min(cost, best.get(labels, np.inf))
    return best


@pytest.mark.parametrize("hub", [1, 2, 1000])
@pytest.mark.parametrize("seed", range(8))
def test_the_best_path_of_labels_is_that_of_the_whole_graph(seed: int, hub: int) -> None:
    graph = random_graph(seed, 14, 60)
    walked = search_graph(graph)
    given = DecodingGraph(walked, ["a", "b", "ab"], SPELLINGS, list("wxyz"))
    restriction, expected = Restriction(given, hub), of_labels(graph, 4, seed)
    for size in range(4):
        for labels in itertools.product(range(2), repeat=size):
            part = restriction.to(labels)
            found = {} if part is None else of_labels(part, 4, seed)
            assert {*found} <= {labels}
            wanted = expected.get(labels, np.inf)
            assert found.get(labels, np.inf) == pytest.approx(wanted, abs=1e-4)
    assert (walked.place() == -1).all()
