"""Graph search: against all paths of all word sequences, in chunks and batches of any size."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from asrkit.errors import UserError
from asrkit.lm.corpus import index_sentences
from asrkit.lm.kneser_ney import estimate
from asrkit.scorers.interfaces import FrameScores, Hypothesis
from asrkit.scorers.sources import Source
from asrkit.search.graph import GraphSearch
from asrkit.search.search import LoadedSearch
from asrkit.wfst.decoding_graph import ctc_graph
from asrkit.wfst.graph_file import DecodingGraph, read_graph, require_labels, write_graph
from asrkit.wfst.lexicon import Pronunciation
from asrkit.wfst.token_passing import search_graph

pytest.importorskip("kaldifst")
LABELS, BLANK = 3, 3
WORDS = {"ab": [0, 1], "a": [0], "ba": [1, 0], "cc": [2, 2]}


@dataclass(frozen=True)
class Heard:
    """Frames as an encoder gives them."""

    frames: Tensor
    lengths: Tensor


class Frames:
    """A CTC head without layers."""

    def frame_scores(self, encoded: Heard) -> FrameScores:
        return FrameScores(encoded.frames, encoded.lengths)


def decoding_graph() -> DecodingGraph:
    draw = random.Random(2)
    lines = [draw.choices([*WORDS], k=draw.randint(1, 4)) for _ in range(60)]
    ngrams = estimate(index_sentences(lines), 2).ngrams
    said = [
        Pronunciation(word, tuple(label + 1 for label in labels))
        for word, labels in enumerate(WORDS.values(), start=1)
    ]
    graph = ctc_graph(ngrams, [*WORDS], said, LABELS)
    return DecodingGraph(
        search_graph(graph), [*WORDS], [*WORDS.values()], ["a", "b", "c", "<blank>"]
    )


GRAPH = decoding_graph()


def loaded(frames: float = 1.0, graph: float = 1.0, **limits: float) -> LoadedSearch:
    settings = {"beam": 1e4, "lattice_beam": 1e4, "nbest": 1000, **limits}
    search = GraphSearch({"ctc": frames, "graph": graph}, **settings)  # type: ignore[arg-type]
    return search.over({"ctc": Frames(), "graph": Source("a graph", graph=GRAPH)})


def heard(lengths: list[int], seed: int = 0) -> Heard:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(len(lengths), max(lengths), LABELS + 1, generator=generator)
    return Heard(logits.log_softmax(2), torch.tensor(lengths))


def best_path(frames: Tensor, labels: list[int]) -> float:
    """Returns the log-probability of the best CTC path of labels: all paths, one by one."""
    best = -math.inf
    for path in itertools.product(range(LABELS + 1), repeat=len(frames)):
        if [s for s, _ in itertools.groupby(path) if s != BLANK] == labels:
            best = max(best, float(frames[range(len(frames)), path].sum()))
    return best


def lists_of(search: LoadedSearch, encoded: Heard, chunks: list[int]) -> list[list[Hypothesis]]:
    """Returns the n-best lists of frames that come in chunks."""
    walking, state = search.search, None
    assert isinstance(walking, GraphSearch)
    begin = 0
    state = walking.begin(search.parts, encoded)
    for size in chunks:
        part = encoded.frames[:, begin : begin + size]
        walking.step(state, Heard(part, (encoded.lengths - begin).clamp(0, size)))
        begin += size
    return walking.end(state)


def test_scores_are_those_of_best_paths_and_the_parts_add_up() -> None:
    encoded = heard([5, 4])
    lists = loaded(0.7, 2.0).run(encoded)
    for frames, length, n_best in zip(encoded.frames, [5, 4], lists, strict=True):
        assert len(n_best) > 5
        assert [h.score for h in n_best] == sorted((h.score for h in n_best), reverse=True)
        for hypothesis in n_best[:8]:
            assert hypothesis.scores["ctc"] == pytest.approx(
                best_path(frames[:length], hypothesis.labels), abs=1e-4
            )
            total = 0.7 * hypothesis.scores["ctc"] + 2.0 * hypothesis.scores["graph"]
            assert hypothesis.score == pytest.approx(total, abs=1e-3)


@pytest.mark.parametrize("chunks", [[1] * 9, [4, 5], [2, 3, 1, 3]])
def test_chunks_of_a_stream_change_nothing(chunks: list[int]) -> None:
    search, encoded = loaded(beam=30.0, lattice_beam=6.0), heard([9, 3, 6], seed=1)
    whole = search.run(encoded)
    assert lists_of(search, encoded, chunks) == whole


def test_the_batch_changes_nothing() -> None:
    search, encoded = loaded(), heard([7, 2, 5], seed=3)
    together = search.run(encoded)
    for row, length in enumerate([7, 2, 5]):
        alone = Heard(encoded.frames[row : row + 1, :length], encoded.lengths[row : row + 1])
        assert search.run(alone) == [together[row]]


def test_heavier_language_models_move_the_best_words() -> None:
    encoded = heard([8, 8, 8, 8], seed=5)
    texts = [[n[0].labels for n in loaded(1.0, weight).run(encoded)] for weight in (0.01, 20.0)]
    assert texts[0] != texts[1]


def test_a_graph_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "lm" / "x.graph.safetensors"
    write_graph(path, GRAPH)
    again = read_graph(path)
    assert (again.words, again.spellings, again.symbols) == (
        GRAPH.words,
        GRAPH.spellings,
        GRAPH.symbols,
    )
    search = GraphSearch({"ctc": 1.0, "graph": 1.0})
    encoded = heard([6, 4])
    lists = [
        search.over({"ctc": Frames(), "graph": Source("a graph", graph=graph)}).run(encoded)
        for graph in (GRAPH, again)
    ]
    assert lists[0] == lists[1]


def test_files_that_are_no_graphs_and_graphs_of_other_labels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.graph.safetensors"
    with pytest.raises(UserError, match="make it with `asrkit graph`"):
        read_graph(path)
    path.write_bytes(b"no arrays at all")
    with pytest.raises(UserError, match="can't be read"):
        read_graph(path)
    with pytest.raises(UserError, match="made for other labels"):
        require_labels(GRAPH, ["x", "y"], path)
    with pytest.raises(UserError, match="reads 4 symbols, but scorer 'ctc' scores 5"):
        loaded().run(Heard(torch.zeros(1, 3, 5), torch.tensor([3])))


def test_scorers_that_a_graph_search_has_no_use_for_are_refused() -> None:
    with pytest.raises(ValueError, match="put others into a two_pass search"):
        GraphSearch({"ctc": 1.0, "graph": 1.0, "lm": 0.5})
    with pytest.raises(UserError, match="not paths through a graph; expected a scorer of type"):
        GraphSearch({"ctc": 1.0, "graph": 1.0}).over({"ctc": Frames(), "graph": Frames()})
