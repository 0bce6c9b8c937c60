"""Intervals and tests keep what they promise, in simulated sets and by brute force."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkit.scoring.edits import Errors
from asrkit.scoring.significance import (
    bootstrap_interval,
    by_speaker,
    compared,
    difference_interval,
    holm,
    paired_test,
    sign_flip,
    speaker_interval,
)


def of(counts: Iterable[int], words: int = 10) -> list[Errors]:
    return [Errors(int(count), 0, 0, words) for count in counts]


def test_interval_covers_the_true_rate() -> None:
    random, covered = np.random.default_rng(0), 0
    for _ in range(60):
        low, high = bootstrap_interval(of(random.binomial(20, 0.2, size=80), 20))
        covered += low <= 20.0 <= high
    assert 52 <= covered <= 60


def test_resampling_is_the_normal_approximation_for_large_sets() -> None:
    counts = np.random.default_rng(3).binomial(10, 0.1, size=3000)
    low, high = bootstrap_interval(of(counts))
    half = 1.96 * 10 * counts.std() / np.sqrt(len(counts))
    assert low == pytest.approx(10 * counts.mean() - half, abs=0.03)
    assert high == pytest.approx(10 * counts.mean() + half, abs=0.03)


def test_speakers_who_differ_make_the_interval_wider() -> None:
    random = np.random.default_rng(4)
    rates = np.repeat(random.uniform(0.05, 0.5, size=20), 30)
    names = [f"s{number // 30}" for number in range(600)]
    errors = of(random.binomial(10, rates))
    low, high = bootstrap_interval(errors)
    by = speaker_interval(errors, names)
    assert by is not None
    assert by.units == 20
    assert by.high - by.low > 2 * (high - low)
    assert speaker_interval(errors, ["one"] * 600) is None


def test_errors_of_speakers_are_sums() -> None:
    assert by_speaker(of([1, 2, 3], 4), ["b", "a", "b"]) == of([2], 4) + of([4], 8)


@given(st.lists(st.integers(-4, 4), max_size=9))
def test_sign_flips_are_all_sign_flips(differences: list[int]) -> None:
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in product((-1, 1), repeat=len(differences))
    ]
    share = sum(total >= abs(sum(differences)) for total in sums) / len(sums)
    assert sign_flip(differences) == pytest.approx(share, abs=1e-12)


def test_three_of_three_words_are_no_proof() -> None:
    base = of([2] * 130)
    assert paired_test(of([1] * 3 + [2] * 127), base).probability_of_noise == 0.25
    assert paired_test(of([1] * 6 + [2] * 124), base).probability_of_noise == 2 / 64
    assert paired_test(base, base).probability_of_noise == 1.0
    assert paired_test(base, base).probability_better == 0.5


def test_large_sets_are_exact_too() -> None:
    random = np.random.default_rng(5)
    differences = random.integers(-3, 4, size=5000)
    differences[:100] = 2
    normal = abs(differences.sum()) / np.sqrt((differences**2).sum())
    from_normal = math.erfc(normal / math.sqrt(2))
    assert sign_flip(differences.tolist()) == pytest.approx(from_normal, abs=0.01)


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_false_alarms_are_as_rare_as_they_are_said_to_be(rate: float) -> None:
    """Systems that are equally good differ "significantly" in no more than 5 % of test sets."""
    random, sets = np.random.default_rng(2), 2000
    alarms = 0
    for one, two in random.binomial(10, rate, size=(sets, 2, 130)):
        alarms += sign_flip((one - two).tolist()) <= 0.05
    deviation = np.sqrt(0.05 * 0.95 / sets)
    assert 0.02 < alarms / sets <= 0.05 + 3 * deviation


def test_speakers_who_differ_as_a_whole_are_tested_as_a_whole() -> None:
    """Where one system suits some speakers better, utterances as units give false alarms."""
    random, sets, alarms = np.random.default_rng(6), 500, {"utterances": 0, "speakers": 0}
    for _ in range(sets):
        rates = np.repeat(random.uniform(0.1, 0.4, size=(2, 10)), 30, axis=1)
        one, two = random.binomial(10, rates)
        alarms["utterances"] += sign_flip((one - two).tolist()) <= 0.05
        sums = (np.add.reduceat(each, range(0, 300, 30)) for each in (one, two))
        alarms["speakers"] += sign_flip(np.subtract(*sums).tolist()) <= 0.05
    assert alarms["speakers"] / sets <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / sets)
    assert alarms["utterances"] / sets > 0.3


def test_errors_of_speakers_are_swapped_together() -> None:
    found = paired_test(of([1, 0, 0, 3, 3]), of([0, 1, 3, 1, 1]), ["a", "b", "b", "c", "c"])
    assert (found.units, found.count) == ("speakers", 3)
    assert found.probability_of_noise == sign_flip([1, -4, 4])


def test_a_better_system_is_found() -> None:
    random = np.random.default_rng(1)
    base = of(random.binomial(10, 0.3, size=200))
    better = of([max(e.substitutions - 1, 0) for e in base])
    assert paired_test(better, base).probability_better > 0.999
    assert paired_test(base, better).probability_better < 0.001
    assert paired_test(better, base).probability_of_noise < 0.002
    assert paired_test(better, base).difference < 0


def test_other_utterances_and_other_words_are_refused() -> None:
    base = of([1, 2, 3])
    with pytest.raises(ValueError, match="3 utterances can't be compared with 2"):
        paired_test(base, base[:2])
    other = [*base[:2], Errors(3, 0, 0, 11)]
    with pytest.raises(ValueError, match="utterance 3 has 10 reference words here and 11 there"):
        paired_test(base, other)
    assert compared(base, other).probability_of_noise == 1.0, "alternatives have no one length"


def test_holm_keeps_the_order_and_multiplies_by_how_many_are_left() -> None:
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_keeps_its_promise_for_rows_that_are_all_alike() -> None:
    draw = np.random.default_rng(1)
    wrong = sum(min(holm(draw.random(20).tolist())) < 0.05 for _ in range(2000))
    assert 60 < wrong < 140  # one in twenty studies, not one in twenty rows


def test_the_interval_of_a_difference_is_narrower_where_both_make_the_same_errors() -> None:
    draw = np.random.default_rng(2)
    hard = draw.integers(0, 8, 200)
    ours, theirs, others = of(hard + 1), of(hard), of(draw.permutation(hard))
    paired, unpaired = difference_interval(ours, theirs), difference_interval(ours, others)
    assert paired.low == pytest.approx(10.0)
    assert paired.high == pytest.approx(10.0)
    assert unpaired.high - unpaired.low > 5
