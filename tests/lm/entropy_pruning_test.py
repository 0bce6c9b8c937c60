"""Pruning by entropy: distributions stay distributions, and the measure is what it says."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from asrkit.errors import UserError
from asrkit.lm.corpus import index_sentences
from asrkit.lm.entropy_pruning import _rises, _with_backoffs, pruned
from asrkit.lm.kneser_ney import estimate
from asrkit.lm.tables import Ngrams, Table
from asrkit.lm.trie import Trie

WORDS = list("abcdefghijkl")


def model(order: int) -> Ngrams:
    draw = random.Random(order)
    lines = [draw.choices(WORDS, range(12, 0, -1), k=draw.randint(1, 7)) for _ in range(150)]
    return estimate(index_sentences(lines), order).ngrams


def distribution(ngrams: Ngrams, history: tuple[int, ...]) -> np.ndarray:
    """Returns p(w | history) of all words but <s>."""
    begin = ngrams.symbols.index("<s>")
    words = [w for w in range(len(ngrams.symbols)) if w != begin]
    rows = np.array([[*history, w] for w in words], np.int64)
    return np.asarray(10.0 ** Trie(ngrams).log_probs(rows))


def histories(ngrams: Ngrams, size: int) -> list[tuple[int, ...]]:
    end = ngrams.symbols.index("</s>")
    table = ngrams.tables[size - 1]
    return [tuple(row) for row in table.words.tolist() if end not in row]


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("threshold", [1e-4, 1e-3, 1e-2])
def test_what_stays_is_a_distribution_after_every_history(order: int, threshold: float) -> None:
    whole = model(order)
    small = pruned(whole, threshold)
    assert sum(map(len, small.tables)) < sum(map(len, whole.tables))
    for size in range(1, small.order):
        for history in histories(small, size):
            assert distribution(small, history).sum() == pytest.approx(1.0, abs=1e-4)


def test_nothing_goes_at_threshold_0() -> None:
    whole = model(3)
    same = pruned(whole, 0.0)
    assert [len(t) for t in same.tables] == [len(t) for t in whole.tables]
    for history in histories(whole, 2):
        np.testing.assert_allclose(
            distribution(same, history), distribution(whole, history), rtol=1e-4
        )


def test_the_measure_is_the_divergence_after_the_history_weighted_by_its_probability() -> None:
    whole = model(3)
    trie = Trie(whole)
    begin = whole.symbols.index("<s>")
    measured = _rises(trie, 3, begin)
    table = trie.tables[2]
    for row in range(0, len(table), 7):
        kept = np.arange(len(table)) != row
        tables = [
            *trie.tables[:2],
            Table(table.words[kept], table.log_probs[kept], table.log_backoffs[kept]),
        ]
        tables[1] = _with_backoffs(Trie(Ngrams(whole.symbols, tables)), 3)
        history = tuple(int(w) for w in table.words[row, :2])
        before = distribution(whole, history)
        after = distribution(Ngrams(whole.symbols, tables), history)
        share = 1.0
        for size in range(1, 3):
            if history[size - 1] != begin:
                share *= float(10.0 ** trie.log_probs(np.array([history[:size]], np.int64))[0])
        divergence = share * float((before * np.log(before / after)).sum())
        assert measured[row] == pytest.approx(math.expm1(divergence), rel=2e-2, abs=1e-7)


def test_higher_thresholds_leave_fewer_n_grams_down_to_unigrams() -> None:
    whole = model(3)
    sizes = [sum(map(len, pruned(whole, t).tables)) for t in (0, 1e-5, 1e-4, 1e-3, 1e-2, 1.0)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == len(whole.tables[0])


def test_a_negative_threshold_is_refused() -> None:
    with pytest.raises(UserError, match="at least 0"):
        pruned(model(2), -1.0)
