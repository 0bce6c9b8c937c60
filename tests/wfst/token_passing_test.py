"""Beam search through graphs: against exhaustive walks and Kaldi's decoder."""

from __future__ import annotations

import numpy as np
import pytest

from asrkit.lm.tables import Floats
from asrkit.wfst.graph import Graph, graph_of, graph_of_arcs, to_openfst
from asrkit.wfst.token_passing import Lattice, Pruning, TokenPassing, search_graph
from tests.wfst.decoding_graph_test import graph_costs

ALL = Pruning(beam=1e6, max_active=10**6, lattice_beam=1e6)


def random_graph(seed: int, states: int = 12, arcs: int = 40, labels: int = 4) -> Graph:
    """Arcs that read nothing lead upwards, so that there is no cycle of them."""
    draw = np.random.default_rng(seed)
    sources, targets = draw.integers(0, states, (2, arcs))
    inputs = draw.integers(0, labels + 1, arcs)
    silent = (inputs == 0) & (sources >= targets)
    inputs[silent] = draw.integers(1, labels + 1, silent.sum())
    outputs = np.where(draw.random(arcs) < 0.3, draw.integers(1, 4, arcs), 0)
    finals = np.where(draw.random(states) < 0.4, draw.random(states), np.inf)
    return graph_of(0, finals, sources, inputs, outputs, draw.random(arcs), targets)


def scores_of(seed: int, frames: int, labels: int = 4) -> Floats:
    return np.log(np.random.default_rng(seed).dirichlet(np.ones(labels), size=frames))


def lattice_of(
    graph: Graph, scores: Floats, pruning: Pruning = ALL, chunk: int = 100
) -> Lattice | None:
    search = TokenPassing(search_graph(graph), pruning)
    for begin in range(0, len(scores), chunk):
        search.step(scores[begin : begin + chunk])
    return search.end()


def word_costs(lattice: Lattice) -> dict[tuple[int, ...], float]:
    """Returns the cost of the best path of each word sequence: every arc reads, nothing scores."""
    acceptor = lattice.as_acceptor()
    silent = Graph(
        acceptor.start,
        acceptor.finals,
        acceptor.begins,
        np.zeros_like(acceptor.inputs),
        acceptor.outputs,
        acceptor.costs,
        acceptor.targets,
    )
    return graph_costs(silent, np.zeros((0, 1)))


@pytest.mark.parametrize("seed", range(12))
def test_the_lattice_holds_every_word_sequence_with_the_cost_of_its_best_path(seed: int) -> None:
    graph, scores = random_graph(seed), scores_of(seed, 4)
    expected = {words: cost for words, cost in graph_costs(graph, scores).items() if len(words) < 8}
    lattice = lattice_of(graph, scores)
    found = word_costs(lattice) if lattice is not None else {}
    assert {w: c for w, c in found.items() if len(w) < 8} == pytest.approx(expected, abs=1e-4)
    assert lattice is None or expected


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("beam", [0.5, 2.0])
def test_the_lattice_beam_keeps_what_is_nearly_as_good_and_nothing_else(
    seed: int, beam: float
) -> None:
    graph, scores = random_graph(seed, 20, 90), scores_of(seed, 30)
    lattice = lattice_of(graph, scores[:6], Pruning(1e6, 10**6, beam), chunk=2)
    everything = graph_costs(graph, scores[:6])
    if lattice is None:
        assert not everything
        return
    found, best = word_costs(lattice), min(everything.values())
    near = {words: cost for words, cost in everything.items() if cost < best + beam - 1e-3}
    assert {words: found[words] for words in near} == pytest.approx(near, abs=1e-4)
    assert min(found.values()) == pytest.approx(best, abs=1e-4)
    # Every arc lies on a path within the beam.
    assert len(lattice.sources) < len(lattice_of(graph, scores[:6]).sources)  # type: ignore[union-attr]


@pytest.mark.parametrize("chunk", [1, 7, 26, 60])
def test_chunks_of_frames_change_nothing(chunk: int) -> None:
    graph, scores = random_graph(3, 30, 150), scores_of(9, 60)
    whole = lattice_of(graph, scores, Pruning(4.0, 50, 2.0))
    parts = lattice_of(graph, scores, Pruning(4.0, 50, 2.0), chunk)
    assert whole is not None
    assert parts is not None
    assert best_cost(parts) == pytest.approx(best_cost(whole), abs=1e-6)
    assert len(parts.sources) == len(whole.sources)


def best_cost(lattice: Lattice) -> float:
    """Returns the cost of the best path; places are in the order of frames."""
    best = np.full(len(lattice.finals), np.inf)
    best[0] = 0.0
    order = np.argsort(lattice.frames[lattice.targets], kind="stable")
    costs = lattice.graph_costs.astype(np.float64) + lattice.acoustic_costs
    for _ in range(4):  # several arcs of a frame may follow each other
        for arc in order:
            reached = best[lattice.sources[arc]] + costs[arc]
            best[lattice.targets[arc]] = min(best[lattice.targets[arc]], reached)
    return float((best + lattice.finals).min())


@pytest.mark.parametrize("seed", range(4))
def test_the_best_path_is_that_of_another_decoder(seed: int) -> None:
    kaldifst, decoder = pytest.importorskip("kaldifst"), pytest.importorskip("kaldi_decoder")
    graph, scores = random_graph(seed + 20, 60, 400, 6), scores_of(seed, 40, 6)
    fst = to_openfst(graph)
    other = decoder.FasterDecoder(fst, decoder.FasterDecoderOptions(beam=30.0, max_active=5000))
    other.decode(decoder.DecodableCtc(scores.astype(np.float32)))
    lattice = lattice_of(graph, scores, Pruning(30.0, 5000, 4.0))
    assert (lattice is not None) == other.reached_final()
    if lattice is not None:
        _, path = other.get_best_path()
        weight = kaldifst.get_linear_symbol_sequence(path)[3]
        total = weight.value1 + weight.value2
        assert best_cost(lattice) == pytest.approx(total, abs=1e-3)


def test_an_utterance_without_a_path_has_no_lattice() -> None:
    graph = graph_of_arcs(0, {1: 0.0}, [(0, 1, 1, 0.0, 1)])
    assert lattice_of(graph, scores_of(0, 3)) is None
    assert lattice_of(graph, scores_of(0, 1)) is not None


def test_scores_of_another_model_or_without_a_number_are_refused() -> None:
    graph = random_graph(1)
    with pytest.raises(ValueError, match="reads 4 labels, but there are scores of 3"):
        lattice_of(graph, scores_of(1, 5, labels=3))
    scores = scores_of(1, 5)
    scores[2, 1] = np.nan
    with pytest.raises(ValueError, match="frame 2"):
        lattice_of(graph, scores)
