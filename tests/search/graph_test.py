"""Graph search: against all paths of all word sequences, in chunks and batches of any size."""

from __future__ import annotations

import itertools
import json
import math
import random
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import pytest
import torch
from torch import Tensor

from asrkit.errors import UserError
from asrkit.lm.corpus import index_sentences
from asrkit.lm.kneser_ney import estimate
from asrkit.scorers.entries import Scorer
from asrkit.scorers.graph import GraphLmScorer
from asrkit.scorers.interfaces import FrameScores, Hypothesis
from asrkit.scorers.sources import Source
from asrkit.search.forced import forced
from asrkit.search.graph import GraphSearch
from asrkit.search.lattices import hypotheses_of
from asrkit.search.search import LoadedSearch
from asrkit.wfst.decoding_graph import ctc_graph
from asrkit.wfst.grammar_scores import grammar_of
from asrkit.wfst.graph_file import (
    DecodingGraph,
    read_graph,
    require_labels,
    require_spellings,
    write_graph,
)
from asrkit.wfst.lattice_file import lattices_fingerprint, read_lattices, write_lattices
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
    symbols, spoken = ["a", "b", "c", "<blank>"], grammar_of(ngrams, [*WORDS])
    walked = search_graph(graph)
    return DecodingGraph(walked, [*WORDS], [*WORDS.values()], symbols, grammar=spoken)


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
    assert again.grammar is not None
    assert GRAPH.grammar is not None
    for name, array in vars(GRAPH.grammar).items():
        assert (getattr(again.grammar, name) == array).all() if name != "start" else array >= 0
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
    write_graph(path, GRAPH)
    whole = path.read_bytes()
    for size in (4, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match="can't be read .*make it again"):
            read_graph(path)
    with pytest.raises(UserError, match="made for other labels"):
        require_labels(GRAPH, ["x", "y"], path)
    own = dict(zip(GRAPH.words, GRAPH.spellings, strict=True))
    require_spellings(GRAPH, lambda word: own[word], path)
    with pytest.raises(UserError, match="and the run's tokenizer by none: .*another tokenizer"):
        require_spellings(GRAPH, lambda _: None, path)
    with pytest.raises(UserError, match="reads 4 symbols, but scorer 'ctc' scores 5"):
        loaded().run(Heard(torch.zeros(1, 3, 5), torch.tensor([3])))


def test_scorers_that_a_graph_search_has_no_use_for_are_refused() -> None:
    with pytest.raises(ValueError, match="put others into a two_pass search"):
        GraphSearch({"ctc": 1.0, "graph": 1.0, "lm": 0.5})
    with pytest.raises(UserError, match="not paths through a graph; expected a scorer of type"):
        GraphSearch({"ctc": 1.0, "graph": 1.0}).over({"ctc": Frames(), "graph": Frames()})


def apart(lm: float, graph: float, **limits: float) -> LoadedSearch:
    settings = {"beam": 1e4, "lattice_beam": 1e4, "nbest": 1000, **limits}
    scorers = {"ctc": 1.0, "graph": graph, "lm": GraphLmScorer(lm)}
    search = GraphSearch(scorers, **settings)  # type: ignore[arg-type]
    sources = {"ctc": Frames(), "graph": Source("a graph", graph=GRAPH), "lm": Source("its LM")}
    return search.over(sources)


def by_words(n_best: list[Hypothesis], weights: dict[str, float]) -> list[tuple[float, list[int]]]:
    """Returns an n-best list in the order of other weights."""
    scored = [(sum(weights[n] * s for n, s in h.scores.items()), h.labels) for h in n_best]
    return sorted(scored, key=lambda pair: -pair[0])


def test_scores_of_the_language_model_apart_add_up_to_those_of_the_graph() -> None:
    encoded = heard([5, 4], seed=2)
    together, split = loaded(1.0, 1.3).run(encoded), apart(1.3, 1.3).run(encoded)
    for whole, parts in zip(together, split, strict=True):
        assert len(whole) == len(parts) > 10
        for hypothesis, other in zip(parts, whole, strict=True):  # best first
            assert hypothesis.score == pytest.approx(other.score, abs=5e-3)
            total = hypothesis.scores["graph"] + hypothesis.scores["lm"]
            weighted = hypothesis.scores["ctc"] + 1.3 * total
            assert hypothesis.score == pytest.approx(weighted, abs=5e-3)
            # Words of this lexicon are said in one way each.
            assert hypothesis.scores["graph"] == pytest.approx(0.0, abs=5e-3)
        assert parts[0].labels == whole[0].labels


def test_weights_of_the_lattice_find_what_another_search_with_them_finds() -> None:
    encoded = heard([6, 5, 6], seed=4)
    first = apart(1.0, 1.0).run(encoded)
    for lm, graph in ((0.1, 1.0), (5.0, 0.5)):
        again = apart(lm, graph).run(encoded)
        for n_best, other in zip(first, again, strict=True):
            ranked = by_words(n_best, {"ctc": 1.0, "lm": lm, "graph": graph})
            expected = [(h.score, h.labels) for h in other]
            best = [score for score, _ in ranked[:5]]
            assert best == pytest.approx([score for score, _ in expected[:5]], abs=1e-2)
            assert ranked[0][1] == expected[0][1]


def test_lattices_are_kept_and_come_back_from_their_file(tmp_path: Path) -> None:
    search, encoded = apart(1.0, 0.8, lattices=True), heard([6, 1], seed=4)
    lists = search.run(encoded)
    kept = search.take_lattices()
    assert len(kept) == 2
    assert not search.take_lattices()
    records = [{"id": str(row), "lattice": one and one.as_json()} for row, one in enumerate(kept)]
    path = tmp_path / "lattices.jsonl.gz"
    write_lattices(path, map(json.dumps, [{"fingerprint": "x"}, *records]))
    assert lattices_fingerprint(path) == "x"
    for (name, lattice), n_best in zip(read_lattices(path), lists, strict=True):
        assert (lattice is None) == (not n_best)
        if lattice is not None:
            found = hypotheses_of(lattice, search.parts.weights, 1000)
            assert [h.score for h in found] == pytest.approx([h.score for h in n_best], abs=5e-3)
            assert found[0].labels == n_best[0].labels, name
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match="decode the set again"):
        list(read_lattices(path))
    few = apart(1.0, 0.8, lattices=True, lattice_arcs=30)
    best = few.run(encoded)
    (smaller, _), (whole, _) = few.take_lattices(), kept
    assert smaller is not None
    assert whole is not None
    assert not smaller.lattice.whole
    assert len(smaller.lattice.words) < len(whole.lattice.words)
    assert len(best[0]) < len(lists[0])


def test_a_graph_has_one_language_model_and_must_tell_its_scores() -> None:
    two: dict[str, float | Scorer] = {
        "ctc": 1.0,
        "graph": 1.0,
        "a": GraphLmScorer(1.0),
        "b": GraphLmScorer(1.0),
    }
    with pytest.raises(ValueError, match="a, b: a graph has one language model"):
        GraphSearch(two)
    old = Source("a graph", graph=replace(GRAPH, grammar=None))
    search = GraphSearch({"ctc": 1.0, "graph": 1.0, "lm": GraphLmScorer(1.0)})
    with pytest.raises(UserError, match="make it again"):
        search.over({"ctc": Frames(), "graph": old, "lm": Source("")}).run(heard([3]))


@pytest.mark.parametrize("split", [False, True])
def test_a_search_held_to_labels_says_what_the_free_one_says(split: bool) -> None:
    encoded = heard([6, 4], seed=8)
    search = apart(1.2, 0.7) if split else loaded(0.8, 1.2)
    lists = search.run(encoded)
    assert min(map(len, lists)) > 10
    for place in range(10):
        references = [n_best[place].labels for n_best in lists]
        for row, one in enumerate(forced(search, encoded, references, LABELS)):
            # Other words may have the same labels.
            best = next(h for h in lists[row] if h.labels == references[row])
            assert one is not None
            assert one.labels == references[row]
            assert one.score == pytest.approx(best.score, abs=5e-3)
            assert one.scores == pytest.approx(best.scores, abs=5e-3)


def test_labels_that_no_words_spell_and_frames_that_are_too_few_have_no_path() -> None:
    encoded = heard([6, 2], seed=8)
    assert forced(loaded(), encoded, [[2], [2, 2]], LABELS) == [None, None]
    found = forced(loaded(), encoded, [[0, 1, 0], [0]], LABELS)
    assert [one is None for one in found] == [False, False]


def test_a_search_that_prunes_too_much_errs() -> None:
    encoded = heard([8] * 8, seed=9)
    narrow = loaded(beam=0.5, lattice_beam=0.1).run(encoded)
    wide = loaded().run(encoded)
    missed = 0
    for row, one in enumerate(forced(loaded(), encoded, [n[0].labels for n in wide], LABELS)):
        assert one is not None
        assert one.score == pytest.approx(wide[row][0].score, abs=1e-4)
        missed += not narrow[row] or one.score > narrow[row][0].score + 1e-3
    assert missed


def without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asrkit.compiled._numba", lambda: None)


@pytest.mark.parametrize("lm", [False, True])
def test_without_numba_the_best_path_is_found(monkeypatch: pytest.MonkeyPatch, lm: bool) -> None:
    pytest.importorskip("kaldi_decoder")
    scorers: dict[str, float | Scorer] = {"ctc": 0.7, "graph": 1.5 if lm else 2.0}
    if lm:
        scorers["lm"] = GraphLmScorer(2.0)
    sources = {"ctc": Frames(), "graph": Source("a graph", graph=GRAPH), "lm": Source("its LM")}
    search = GraphSearch(scorers, beam=50.0, nbest=1).over(sources)
    encoded = heard([9, 1, 6, 7], seed=4)
    usual = search.run(encoded)
    without_numba(monkeypatch)
    for chunks in ([9], [4, 5]):
        found = lists_of(search, encoded, chunks)
        assert [[one.labels for one in n] for n in found] == [[o.labels for o in n] for n in usual]
        for one, other in zip(chain.from_iterable(found), chain.from_iterable(usual), strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-3)
            assert one.scores == pytest.approx(other.scores, abs=1e-3)


@pytest.mark.parametrize("more", [{"nbest": 2}, {"nbest": 1, "lattices": True}])
def test_without_numba_more_than_the_best_path_is_refused(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, int]
) -> None:
    without_numba(monkeypatch)
    with pytest.raises(UserError, match="with numba only, which is not installed: set nbest: 1"):
        loaded(**more).run(heard([3]))


def test_an_utterance_without_a_path_has_no_best_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("kaldi_decoder")
    without_numba(monkeypatch)
    silent = Heard(torch.full((1, 2, LABELS + 1), -torch.inf), torch.tensor([2]))
    assert loaded(nbest=1).run(silent) == [[]]
