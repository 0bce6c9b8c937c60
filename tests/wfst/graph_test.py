"""Graphs as arrays: to OpenFst and back."""

from __future__ import annotations

import numpy as np
import pytest

from asrkit.wfst.graph import from_openfst, graph_of, graph_of_arcs, to_openfst

kaldifst = pytest.importorskip("kaldifst")


def test_a_graph_comes_back_from_openfst_as_it_was() -> None:
    draw = np.random.default_rng(3)
    states, arcs = 50, 400
    graph = graph_of(
        7,
        np.where(draw.random(states) < 0.3, draw.random(states), np.inf),
        draw.integers(0, states, arcs),
        draw.integers(0, 9, arcs),
        draw.integers(0, 5, arcs),
        draw.random(arcs),
        draw.integers(0, states, arcs),
    )
    again = from_openfst(to_openfst(graph))
    assert again.start == graph.start
    for name in ("finals", "begins", "inputs", "outputs", "costs", "targets"):
        np.testing.assert_array_equal(getattr(again, name), getattr(graph, name), err_msg=name)


def test_openfst_reads_the_arcs_that_were_meant() -> None:
    fst = to_openfst(graph_of_arcs(0, {2: 0.5}, [(0, 1, 5, 0.25, 1), (1, 2, 0, 1.0, 2)]))
    text = [line.split() for line in fst.to_str().split("\n") if line.strip()]
    assert text == [["0", "1", "1", "5", "0.25"], ["1", "2", "2", "0", "1"], ["2", "0.5"]]


def test_an_empty_transducer_has_one_state_without_an_end() -> None:
    graph = from_openfst(kaldifst.StdVectorFst())
    assert graph.num_states == 1
    assert graph.num_arcs == 0
    assert np.isinf(graph.finals).all()
