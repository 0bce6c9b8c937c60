"""Confidences of words against plain formulae, and against draws whose truth is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from asrkit.run_files import NbestLine, WrittenHypothesis
from asrkit.scoring.confidence import (
    calibrated,
    nbest_confidences,
    nbest_votes,
    normalised_cross_entropy,
    plot_reliability,
    reliability,
)


def line(*texts: tuple[str, float]) -> NbestLine:
    found = [WrittenHypothesis(text, [], score, {}) for text, score in texts]
    return NbestLine(id="u", speaker="s", reference="", text=texts[0][0], hypotheses=found)


def test_words_have_the_probabilities_of_the_hypotheses_with_them() -> None:
    scores = [-1.0, -2.0, -3.0]
    shares = np.exp(scores) / np.exp(scores).sum()
    told = nbest_confidences(line(("a b c", -1.0), ("a c", -2.0), ("a b d", -3.0)))
    assert told == pytest.approx([1.0, shares[0] + shares[2], shares[0] + shares[1]])
    alone = nbest_confidences(line(("a a", -7.0)))
    assert alone == pytest.approx([1.0, 1.0])
    assert nbest_confidences(line(("", -1.0), ("a", -2.0))) == []
    votes = nbest_votes(line(("a b", -1.0), ("a c", -1.0), ("a", -40.0)))
    assert [count for _, count in votes] == [1, 3]
    assert [share for share, _ in votes] == pytest.approx([1.0, 0.5])
    flat = nbest_confidences(line(("a", -1.0), ("b", -2.0)), sharpness=1e-6)
    assert flat == pytest.approx([0.5], abs=1e-4)


def test_normalised_cross_entropy_is_that_of_its_formula() -> None:
    told, right = [0.9, 0.8, 0.6, 0.3], [True, True, False, True]
    doubt = -4 * (0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    known = math.log2(0.9) + math.log2(0.8) + math.log2(1 - 0.6) + math.log2(0.3)
    assert normalised_cross_entropy(told, right) == pytest.approx((doubt + known) / doubt)
    assert normalised_cross_entropy([0.75] * 4, right) == pytest.approx(0.0)
    assert normalised_cross_entropy(told, [True] * 4) is None
    assert normalised_cross_entropy([], []) is None


def test_calibration_finds_how_overconfident_words_are() -> None:
    draw = np.random.default_rng(0)
    truth = draw.uniform(0.05, 0.98, 20000)
    right = draw.uniform(size=20000) < truth
    # A search that is twice as sure, and a bit too sceptical.
    logits = (np.log(truth / (1 - truth)) - 0.4) / 0.5
    told = (1 / (1 + np.exp(-logits))).tolist()
    found = calibrated(told, right.tolist(), "dev")
    assert found.slope == pytest.approx(0.5, abs=0.03)
    assert found.shift == pytest.approx(0.4, abs=0.06)
    assert found.words == 20000
    assert found.nce is not None
    assert found.nce_before is not None
    assert found.nce > found.nce_before
    assert np.abs(np.array(found(told)) - truth).max() < 0.03
    for each in reliability(found(told), right.tolist()):
        assert each.right == pytest.approx(each.confidence, abs=0.04)


def test_calibration_never_makes_the_set_that_it_learns_from_worse() -> None:
    # All words are far too certain, and nearly alike: undamped steps would end anywhere.
    for certain in (0.9999, 1.0):
        told, right = [certain] * 520 + [0.4] * 4, [True] * 500 + [False] * 24
        found = calibrated(told, right, "dev")
        assert found.nce is not None
        assert found.nce_before is not None
        assert found.nce > found.nce_before
        assert found([certain]) == pytest.approx([500 / 520], abs=0.01)


def test_calibration_learns_from_what_else_is_known_of_words() -> None:
    draw = np.random.default_rng(0)
    told, size = draw.uniform(0.05, 0.98, 20000), draw.normal(size=20000)
    logits = np.log(told / (1 - told)) + 0.7 * size
    right = (draw.uniform(size=20000) < 1 / (1 + np.exp(-logits))).tolist()
    noise = draw.normal(size=20000).tolist()
    without = calibrated(told.tolist(), right, "dev")
    features = {"noise": noise, "size": size.tolist()}
    found = calibrated(told.tolist(), right, "dev", features=features)
    assert found.weights == pytest.approx({"noise": 0.0, "size": 0.7}, abs=0.05)
    assert (found.slope, found.shift) == pytest.approx((1.0, 0.0), abs=0.05)
    assert found.nce is not None
    assert without.nce is not None
    assert found.nce > without.nce + 0.03
    # What has no weight, such as in files of older versions, changes nothing.
    assert without(told.tolist(), features) == without(told.tolist())


def test_words_of_equal_confidence_are_counted_together(tmp_path: Path) -> None:
    bins = reliability([0.05, 0.07, 0.95, 1.0], [False, True, True, True])
    assert [each.words for each in bins] == [2, 2]
    assert [each.right for each in bins] == [0.5, 1.0]
    plot_reliability(bins, "run, joint, dev", tmp_path / "shown.png")
    assert (tmp_path / "shown.png").read_bytes()[:4] == b"\x89PNG"
