"""Confidences of words in determinised lattices, against all of their paths, one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from asrkit.wfst.determinised import WordLattice, determinised
from asrkit.wfst.lattice_confidences import alternatives, confidences
from asrkit.wfst.lattice_lists import PartWeights, best_words
from tests.wfst.word_lattice_test import LATTICES

pytest.importorskip("kaldifst")
MADE = [determinised(lattice, None, acoustic_scale=0.5) for lattice in LATTICES]


def all_paths(lattice: WordLattice, state: int = 0) -> Iterator[tuple[list[int], np.ndarray]]:
    """Yields the arcs and the scores of every path."""
    if np.isfinite(lattice.ends[state]).all():
        yield [], lattice.ends[state]
    for arc in np.flatnonzero(lattice.sources == state).tolist():
        for arcs, scores in all_paths(lattice, int(lattice.targets[arc])):
            yield [arc, *arcs], lattice.scores[arc] + scores


def spans_frames(lattice: WordLattice, arc: int) -> set[int]:
    begin = int(lattice.frames[lattice.sources[arc]])
    end = int(lattice.frames[lattice.targets[arc]])
    return set(range(begin, max(end, begin + 1)))


@pytest.mark.parametrize("weights", [PartWeights(0.5, 1.0, 1.0), PartWeights(0.1, 1.0, 0.3)])
@pytest.mark.parametrize("lattice", MADE)
def test_words_are_as_probable_as_all_paths_say(lattice: WordLattice, weights: PartWeights) -> None:
    paths = [(arcs, math.exp(scores @ np.array(weights))) for arcs, scores in all_paths(lattice)]
    total = sum(share for _, share in paths)
    for found in best_words(lattice, weights, 2):
        sure = confidences(lattice, weights, found.arcs)
        assert len(sure) == len(found.words)
        for arc, confidence in zip(found.arcs, sure, strict=True):
            frames, word = spans_frames(lattice, arc), lattice.words[arc]
            overlapping = {
                int(lattice.words[other])
                for other in range(len(lattice.words))
                if frames & spans_frames(lattice, other)
            }
            assert alternatives(lattice, [arc]) == [len(overlapping)]
            having = [
                share
                for arcs, share in paths
                if any(
                    lattice.words[other] == word and frames & spans_frames(lattice, other)
                    for other in arcs
                )
            ]
            assert confidence == pytest.approx(sum(having) / total, abs=1e-9)


def test_some_words_are_surer_than_others() -> None:
    weights = PartWeights(0.5, 1.0, 1.0)
    found = [
        sure
        for lattice in MADE
        for best in best_words(lattice, weights, 1)
        for sure in confidences(lattice, weights, best.arcs)
    ]
    assert min(found) < 0.9 < max(found)
