"""Weights from n-best lists."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from asrkit.errors import UserError
from asrkit.run_files import NbestLine, WrittenHypothesis
from asrkit.scoring.weights import Decoded, best_weights, pool
from asrkit.search.lengths import LengthNorm


def line(number: int, hypotheses: list[tuple[str, float, float]]) -> NbestLine:
    written = [
        WrittenHypothesis(text, [ord(c) for c in text], x, {"x": x, "y": y})
        for text, x, y in hypotheses
    ]
    return NbestLine(
        id=f"u{number}", speaker="", reference="a b", text=written[0].text, hypotheses=written
    )


# x alone prefers the wrong one, y alone as well, elsewhere; half of each is right everywhere.
LINES = [
    line(0, [("a c", -1.0, -4.0), ("a b", -2.0, -1.0)]),
    line(1, [("a b", -1.0, -2.0), ("d b", -4.0, -1.0)]),
    line(2, [("a b", -1.0, -1.0), ("c c", -2.0, -2.0)]),
]


ALONE = {"x": 1.0, "y": 0.0}


def test_rates_are_those_of_ranking_by_hand() -> None:
    found = pool([Decoded(LINES, ALONE)])
    assert found.words == 6
    assert found.rate({"x": 1.0, "y": 0.0}) == pytest.approx(100 / 6)
    assert found.rate({"x": 0.0, "y": 1.0}) == pytest.approx(100 / 6)
    assert found.rate({"x": 0.5, "y": 0.5}) == 0.0


def test_the_fit_finds_weights_without_errors() -> None:
    found = pool([Decoded(LINES, ALONE)])
    weights, rate = best_weights(found, ALONE, {"y": (0.0, 3.0)})
    assert rate == 0.0
    assert weights["x"] == 1.0
    assert 1 / 3 < weights["y"] < 3.0


def test_lists_of_several_decodes_are_joined_without_doubles() -> None:
    other = [line(n, [("a b", -9.0, -9.0), ("b b", -3.0, -3.0)]) for n in range(3)]
    found = pool([Decoded(LINES, ALONE), Decoded(other, ALONE)])
    assert len(found.errors) == 9
    assert np.diff([*found.starts, 9]).tolist() == [3, 3, 3]
    with pytest.raises(UserError, match="u0: no score of 'z'"):
        pool([Decoded(LINES, {"z": 1.0})])


def test_what_no_weight_scales_is_still_counted() -> None:
    # As if a reward of labels: half a point for a string of two, four points for one of seven.
    lines = [line(0, [("a b", -2.0, -1.0), ("a b b b", -6.0, -2.0)])]
    for place, (hypothesis, reward) in enumerate(zip(lines[0].hypotheses, (0.5, 4.0), strict=True)):
        norm = len(hypothesis.labels) + 1
        scores = hypothesis.scores
        score = (scores["x"] + 0.5 * scores["y"] + reward) / norm
        lines[0].hypotheses[place] = replace(hypothesis, score=score)
    found = pool([Decoded(lines, {"x": 1.0, "y": 0.5})], LengthNorm(1.0))
    assert found.rest == pytest.approx([0.5, 4.0])
    assert found.rate({"x": 1.0, "y": 0.5}) == 100.0, "the longer one is better, as in the search"
    assert found.rate({"x": 4.0, "y": 0.5}) == 0.0
