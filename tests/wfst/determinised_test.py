"""Determinised lattices hold each word sequence once, with the scores of its best path."""

from __future__ import annotations

import math

import numpy as np
import pytest

from asrkit.wfst.determinised import Determinising, WordLattice, determinised
from asrkit.wfst.grammar import grammar
from asrkit.wfst.grammar_scores import GrammarScores, by_label
from asrkit.wfst.lattice_lists import PartWeights, best_words
from asrkit.wfst.token_passing import Lattice
from tests.wfst.grammar_test import WORDS, model
from tests.wfst.plain_determinising import plainly
from tests.wfst.word_lattice_test import LATTICES, all_paths

pytest.importorskip("kaldifst")
EQUAL = PartWeights(1.0, 1.0, 1.0)


def best_of_words(lattice: Lattice) -> dict[tuple[int, ...], tuple[float, float, float]]:
    """Returns total, graph and acoustic cost of the best path of each word sequence."""
    best: dict[tuple[int, ...], tuple[float, float, float]] = {}
    for words, graph, acoustic, _ in all_paths(lattice):
        if graph + acoustic < best.get(words, (math.inf,))[0]:
            best[words] = graph + acoustic, graph, acoustic
    return best


def require_one_arc_a_word(lattice: WordLattice) -> None:
    pairs = list(zip(lattice.sources.tolist(), lattice.words.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    assert (lattice.targets > lattice.sources).all()
    assert (np.diff(lattice.sources) >= 0).all()


@pytest.mark.parametrize("lattice", LATTICES)
def test_every_word_sequence_is_there_once_with_its_best_path(lattice: Lattice) -> None:
    expected = best_of_words(lattice)
    made = determinised(lattice, None, acoustic_scale=0.5)
    require_one_arc_a_word(made)
    assert made.whole
    found = best_words(made, PartWeights(0.5, 1.0, 1.0), len(expected) + 10)
    assert [f.words for f in found] == [*dict.fromkeys(f.words for f in found)]
    assert {f.words for f in found} == {*expected}
    for one in found:
        total, graph, acoustic = expected[one.words]
        assert one.score == pytest.approx(-total, abs=5e-3)
        assert one.parts == pytest.approx([-2 * acoustic, 0.0, -graph], abs=1e-2)
    assert [f.score for f in found] == sorted((f.score for f in found), reverse=True)


@pytest.mark.parametrize("lattice", LATTICES)
def test_a_beam_leaves_out_what_is_worse_and_a_limit_keeps_the_best(lattice: Lattice) -> None:
    expected = best_of_words(lattice)
    best = min(total for total, *_ in expected.values())
    near = {words for words, (total, *_) in expected.items() if total < best + 1.0 - 1e-3}
    found = best_words(determinised(lattice, None, 1.0, beam=1.0), EQUAL, 10_000)
    assert near <= {f.words for f in found}
    assert max(-f.score for f in found) < best + 2.0, "worse ones only by words that are shared"
    for few in (
        determinised(lattice, None, 1.0, max_states=12),
        determinised(lattice, None, 1.0, max_arcs=12),
    ):
        ranked = best_words(few, EQUAL, 1)
        if ranked:
            assert ranked[0].score == pytest.approx(-best, abs=5e-3)
    # States that were looked at have all of their arcs.
    assert len(few.words) < 12 + len(lattice.words)


def random_lattice(seed: int, places: int = 40, arcs: int = 240) -> Lattice:
    """Returns a lattice with many ways to write the same words."""
    draw = np.random.default_rng(seed)
    sources = np.sort(np.append(np.zeros(5), draw.integers(0, places - 1, arcs - 5)))
    targets = np.minimum(sources + draw.integers(1, 6, arcs), places - 1)
    words = draw.integers(1, len(WORDS) + 1, arcs) * (draw.random(arcs) < 0.3)
    finals = np.where(np.arange(places) > places - 4, draw.random(places), np.inf)
    graph, frames = ((3 * draw.random(arcs)).astype(np.float32) for _ in range(2))
    begins, ends, labels = (each.astype(np.int32) for each in (sources, targets, words))
    return Lattice(np.arange(places), finals, begins, ends, labels, labels, graph, frames)


@pytest.mark.parametrize("beam", [2.0, np.inf])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("known", [True, False])
def test_the_fast_way_finds_what_the_plain_way_finds(seed: int, beam: float, known: bool) -> None:
    lattice, backoff = random_lattice(seed), len(WORDS) + 1
    g = by_label(grammar(model(3), WORDS, backoff))
    for limits in ((300, 10_000), (20, 10_000), (300, 50)):
        scores = GrammarScores(g, backoff) if known else None
        plain = plainly(lattice, scores, beam, *limits)
        fast = Determinising(lattice, scores, beam)
        expanded = fast.run(*limits)
        found = {
            n: (fast.states[n].places.tobytes(), fast.states[n].costs.tobytes()) for n in expanded
        }
        assert found == plain.states
        assert [(*arc[:3], [*arc[3]]) for arc in fast.made.arcs] == plain.arcs
        assert {n: costs.tolist() for n, costs in fast.made.ends.items()} == plain.ends
        assert fast.whole == plain.whole
        assert len(plain.arcs) > 10
