"""Interpolation of models of words and of their pieces, against sums over all words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from asrkit.errors import UserError
from asrkit.lm.interpolation import BothScores, Interpolation, InterpolationWeights, joined
from asrkit.lm.tables import Ngrams
from asrkit.lm.word_scores import NgramWords, WordScores, scores_by_pieces
from asrkit.scorers.interfaces import State
from asrkit.search.two_pass import score_labels
from tests.lm.word_ngram_test import by_words, words_model

PIECES = ["▁a", "▁b", "c"]
BEGINS = np.array([piece.startswith("▁") for piece in PIECES])
EOS = len(PIECES)


@dataclass
class Pieces:
    """A model whose next label depends on the last one and the place; counts what it is asked."""

    asked: int = 0
    partial = False

    def __post_init__(self) -> None:
        drawn = torch.randn(9, EOS + 1, EOS + 1, generator=torch.Generator().manual_seed(0))
        self.table = drawn.double().log_softmax(2)  # (places, last label, next label)

    def initial_state(self) -> State:
        return torch.tensor([[0, EOS]])

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        self.asked += len(state)
        return self.table[state[:, 0].clamp(max=8), state[:, 1]]

    def advance(self, state: State, labels: Tensor) -> State:
        return torch.stack([state[:, 0] + 1, labels], 1)

    def subset(self, utterances: Tensor) -> Pieces:
        return self


def spelled(text: str) -> list[int]:
    return [PIECES.index(f"▁{c}" if at == 0 else c) for w in text.split() for at, c in enumerate(w)]


def by_pieces(texts: Sequence[str]) -> WordScores:
    return scores_by_pieces(Pieces(), [spelled(text) for text in texts], BEGINS)


TEXTS = ["acc b", "acc", "", "b a bc", "acc b", "acc b a"]


def test_words_of_a_sentence_have_what_its_pieces_have_and_share_beginnings() -> None:
    scorer = Pieces()
    sentences = [spelled(text) for text in TEXTS]
    found = scores_by_pieces(scorer, sentences, BEGINS)
    different = {tuple(labels[:end]) for labels in sentences for end in range(len(labels) + 1)}
    assert scorer.asked == len(different)
    (expected,) = score_labels(scorer, [sentences])
    for text, words, whole in zip(TEXTS, found, expected, strict=True):
        assert len(words) == len(text.split()) + 1
        assert words.sum() == pytest.approx(float(whole), abs=1e-5)


@pytest.mark.parametrize("history", ["b", "b acc"])
def test_all_words_after_a_history_have_probabilities_that_sum_to_one(history: str) -> None:
    words = [first + "c" * more for first in "ab" for more in range(300)]
    place = len(history.split())
    after = by_pieces([f"{history} {word}" for word in words])
    ends = by_pieces([history])[0][-1]
    total = sum(math.exp(scores[place]) for scores in after) + math.exp(ends)
    assert total == pytest.approx(1.0, abs=1e-6)


def neural(texts: Sequence[str]) -> WordScores:
    """Returns what depends on letters alone, for any words."""
    return [np.array([-1.0 - len(w) for w in t.split()] + [-2.0]) for t in texts]


def test_words_mix_and_unknown_ones_have_the_neural_share_alone() -> None:
    ngrams = words_model(2, ["a", "ab", "b", "cab"])
    model = Interpolation(NgramWords(ngrams), neural, InterpolationWeights(0.3, 0.7))
    text = "a abba cab"  # abba is unknown
    (both,) = model.scores([text])
    assert both.unknown.tolist() == [False, True, False, False]
    assert both.ngram.sum() == pytest.approx(by_words(ngrams, text.split()), abs=1e-5)
    expected = [
        (0.0 if unknown else 0.3 * math.exp(ngram)) + 0.7 * math.exp(score)
        for ngram, score, unknown in zip(both.ngram, neural([text])[0], both.unknown, strict=True)
    ]
    (total,) = model.sentence_log_probs([text])
    assert total == pytest.approx(sum(map(math.log, expected)), abs=1e-9)
    assert model.sentence_log_probs(["b", text, "b"])[1] == total


def test_the_best_weights_are_those_of_the_highest_likelihood() -> None:
    model = Interpolation(NgramWords(words_model(2)), neural, InterpolationWeights())
    both = joined(model.scores(["a b ab", "abba zzz a", "b"]))
    best = both.best_weights()
    assert 0 < best.ngram < 1
    grid = [InterpolationWeights(n / 100, 1 - n / 100) for n in range(1, 100)]
    assert both.mixed(best).sum() >= max(both.mixed(w).sum() for w in grid) - 1e-4
    # One model alone, where the other one is never better.
    alone = BothScores(both.ngram, both.ngram - 1.0, np.zeros_like(both.unknown))
    assert alone.best_weights().ngram > 0.99


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be below 0, and sum to 1"):
        InterpolationWeights(0.5, 0.6)
    with pytest.raises(UserError, match="has no <unk>"):
        NgramWords(without_unknown(words_model(1)))


def without_unknown(ngrams: Ngrams) -> Ngrams:
    symbols = ["<other>" if symbol == "<unk>" else symbol for symbol in ngrams.symbols]
    return Ngrams(symbols, ngrams.tables)
