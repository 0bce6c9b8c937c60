"""Estimated models against a slow textbook implementation."""

from __future__ import annotations

import itertools
import logging
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from asrkit.errors import UserError
from asrkit.lm.arpa import read_arpa, write_arpa
from asrkit.lm.corpus import index_sentences
from asrkit.lm.kneser_ney import FALLBACK, estimate, modified_discounts, prune_thresholds
from asrkit.lm.ngram import NgramModel
from asrkit.lm.tables import Ngrams
from asrkit.text.vocabulary import Vocabulary
from tests.lm.textbook import Gram, Textbook

CASES = [
    (1, None, []),
    (2, None, []),
    (3, None, []),
    (3, list("abcdwz"), []),
    (4, None, [0, 0, 1]),
    (5, list("abcdefgz"), []),
    (3, None, [1, 1, 2]),
    (4, None, [0, 1]),
]


def sentences(seed: int, count: int = 40) -> list[list[str]]:
    """Returns random sentences of a vocabulary with rare and with frequent words."""
    rng = random.Random(seed)
    words = "aaaaaabbbbcccddefghijk"
    return [[rng.choice(words) for _ in range(rng.randrange(7))] for _ in range(count)]


def grams(ngrams: Ngrams, k: int) -> dict[Gram, tuple[float, float]]:
    """Returns log10 probability and back-off weight of every n-gram of an order."""
    table = ngrams.tables[k - 1]
    names = (tuple(ngrams.symbols[i] for i in row) for row in table.words.tolist())
    logs = zip(table.log_probs.tolist(), table.log_backoffs.tolist(), strict=True)
    return dict(zip(names, logs, strict=True))


@pytest.mark.parametrize(("order", "vocabulary", "prune"), CASES)
@pytest.mark.parametrize("seed", [1, 2])
def test_probabilities_and_weights_are_those_of_the_textbook(
    order: int, vocabulary: list[str] | None, prune: list[int], seed: int
) -> None:
    text = sentences(seed)
    result = estimate(index_sentences(text, vocabulary), order, prune)
    textbook = Textbook(text, order, vocabulary, prune_thresholds(prune, order))
    for k in range(1, order + 1):
        assert result.discounts[k - 1].values == pytest.approx(
            [float(value) for value in textbook.discounts[k]]
        )
        found = grams(result.ngrams, k)
        if k == 1:
            assert found.pop(("<s>",))[0] == -99
            assert {gram[0] for gram in found} == textbook.words
        else:
            assert set(found) == textbook.kept[k]
        for gram, (log_prob, log_weight) in found.items():
            assert 10**log_prob == pytest.approx(
                float(textbook.prob(gram[:-1], gram[-1])), rel=1e-5
            )
            if k < order:
                assert 10**log_weight == pytest.approx(float(textbook.weight(gram)), rel=1e-5)
    assert 10 ** grams(result.ngrams, 1)["<s>",][1] == pytest.approx(
        float(textbook.weight(("<s>",))) if order > 1 else 1.0, rel=1e-5
    )


def back_off(tables: list[dict[Gram, tuple[float, float]]], history: Gram, word: str) -> float:
    """Returns p(word | history) as an ARPA file defines it."""
    gram = (*history, word)
    if gram in tables[len(history)]:
        return float(10 ** tables[len(history)][gram][0])
    weight = tables[len(history) - 1].get(history, (0.0, 0.0))[1]
    return float(10**weight) * back_off(tables, history[1:], word)


@pytest.mark.parametrize(("order", "vocabulary", "prune"), CASES)
def test_probabilities_of_every_history_sum_to_one(
    order: int, vocabulary: list[str] | None, prune: list[int]
) -> None:
    ngrams = estimate(index_sentences(sentences(3), vocabulary), order, prune).ngrams
    tables = [grams(ngrams, k) for k in range(1, order + 1)]
    histories = {gram[:-1] for table in tables for gram in table}
    histories |= set(itertools.product("abz", repeat=order - 1))  # not all of them were seen
    predicted = [symbol for (symbol,) in tables[0] if symbol != "<s>"]
    for history in histories:
        assert sum(back_off(tables, history, w) for w in predicted) == pytest.approx(1, abs=2e-6)


def test_discounts_are_those_of_chen_and_goodman() -> None:
    counts = np.repeat([1, 2, 3, 4, 9], [8, 4, 2, 1, 3])
    share = 8 / (8 + 2 * 4)
    expected = (1 - 2 * share * 4 / 8, 2 - 3 * share * 2 / 4, 3 - 4 * share * 1 / 2)
    assert modified_discounts(counts, 1).values == pytest.approx(expected)
    assert modified_discounts(counts, 1).of(np.array([0, 1, 2, 3, 9])) == pytest.approx(
        [0.0, *expected, expected[2]]
    )


@pytest.mark.parametrize(
    ("counts", "problem"),
    [
        ([5, 6], "no 2-gram has an adjusted count of 1"),
        ([1, 1, 3], "no 2-gram has an adjusted count of 2"),
        ([1, 2, 2], "no 2-gram has an adjusted count of 3"),
        ([1, 1, 2, *[3] * 9], "not positive"),
    ],
)
def test_counts_that_give_no_discounts_are_reported(
    counts: list[int], problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        discounts = modified_discounts(np.array(counts), 2)
    assert discounts.values == FALLBACK
    assert problem in discounts.problem
    assert f"2-grams: {discounts.problem}" in caplog.text
    assert "0.5, 1.0 and 1.5 are used instead" in caplog.text


def test_corpora_count_sentences_words_and_unknown_words() -> None:
    corpus = index_sentences([["a", "b"], [], ["c", "a"]], ["a", "b"])
    assert corpus.symbols == ["<unk>", "<s>", "</s>", "a", "b"]
    assert corpus.tokens.tolist() == [1, 3, 4, 2, 1, 0, 3, 2]
    assert (corpus.sentences, corpus.words, corpus.unknown) == (2, 4, 1)
    assert index_sentences([["b", "a"]]).symbols[3:] == ["b", "a"]


def test_what_can_not_be_estimated_is_refused() -> None:
    with pytest.raises(UserError, match="no text to estimate"):
        index_sentences([[], []])
    with pytest.raises(UserError, match="sentence 2 has <s> or </s> among its words"):
        index_sentences([["a"], ["a", "</s>", "b"]])
    with pytest.raises(UserError, match="'<s>' is in the vocabulary"):
        index_sentences([["a"]], ["a", "<s>"])
    corpus = index_sentences([["a"]])
    with pytest.raises(UserError, match="order .* must be at least 1, got 0"):
        estimate(corpus, 0)
    for prune in ([1, 0], [-1], [0, 0, 0]):
        with pytest.raises(UserError, match=r"pruning thresholds .*never decreasing"):
            estimate(corpus, 2, prune)
    assert prune_thresholds([0, 1], 4) == [0, 1, 1, 1]


def test_orders_beyond_the_longest_sentence_have_no_ngrams(tmp_path: Path) -> None:
    corpus = index_sentences([["a", "b"], ["a"]])
    shorter, longer = estimate(corpus, 4).ngrams, estimate(corpus, 7).ngrams
    assert [len(table) for table in longer.tables[4:]] == [0, 0, 0]
    again = read_arpa(write_arpa(longer, tmp_path / "long.arpa"))
    vocabulary = Vocabulary(["a", "b", "<unk>"], "<unk>")
    labels, lengths = torch.tensor([[0, 1], [1, 1]]), torch.tensor([2, 2])
    found = [
        NgramModel(ngrams, vocabulary).sentence_log_probs(labels, lengths)
        for ngrams in (shorter, again)
    ]
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=0)
