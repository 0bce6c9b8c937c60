"""Scores of labels by a word model: exact for whole sentences, whatever way words are cut."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from asrkit.errors import UserError
from asrkit.lm.corpus import index_sentences
from asrkit.lm.kneser_ney import estimate
from asrkit.lm.ngram import NgramModel
from asrkit.lm.tables import UNKNOWN, Ngrams, Table
from asrkit.lm.word_ngram import WordNgramModel, WordNgramScorer
from asrkit.search.two_pass import score_labels
from asrkit.text.vocabulary import Vocabulary

WORDS = ["a", "ab", "abba", "b", "ba", "cab"]
LABELS = ["▁a", "a", "b", "▁b", "ab", "▁", "▁ca", "ba"]


@dataclass(frozen=True)
class Frames:
    lengths: Tensor


def words_model(order: int, known: list[str] | None = None) -> Ngrams:
    rng = random.Random(0)
    text = [rng.choices(WORDS, weights=[6, 5, 1, 4, 2, 1], k=rng.randint(1, 5)) for _ in range(60)]
    return estimate(index_sentences(text, known), order, []).ngrams


def scorer_of(ngrams: Ngrams, count: int = 1) -> WordNgramScorer:
    model = WordNgramModel(ngrams, Vocabulary(LABELS))
    return model.label_scorer(Frames(torch.zeros(count)))


def spelled(labels: tuple[int, ...]) -> list[str]:
    return "".join(LABELS[label] for label in labels).replace("▁", " ").split()


def by_words(ngrams: Ngrams, words: list[str]) -> float:
    """Returns log p of words and the sentence end, by the model of words itself."""
    symbols = [symbol for symbol in ngrams.symbols if symbol not in ("<s>", "</s>")]
    model = NgramModel(ngrams, Vocabulary(symbols)).double()
    ids = [symbols.index(word if word in symbols else UNKNOWN) for word in words]
    labels = torch.tensor([ids], dtype=torch.int64).view(1, -1)
    return float(model.sentence_log_probs(labels, torch.tensor([len(ids)])).sum())


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("known", [None, ["a", "ab", "b", "cab"]])
def test_sentences_score_as_their_words(order: int, known: list[str] | None) -> None:
    ngrams = words_model(order, known)
    sequences = [c for n in range(4) for c in itertools.product(range(len(LABELS)), repeat=n)]
    sequences = random.Random(1).sample(sequences, 200)
    found = score_labels(scorer_of(ngrams), [[list(each) for each in sequences]])[0]
    for labels, score in zip(sequences, found.tolist(), strict=True):
        assert score == pytest.approx(by_words(ngrams, spelled(labels)), abs=1e-5), labels


def test_what_half_a_word_scored_is_taken_back_exactly() -> None:
    ngrams = words_model(3)
    exact = WordNgramModel(ngrams, Vocabulary(LABELS)).double()
    scorer = exact.label_scorer(Frames(torch.zeros(1)))
    sequences = [list(c) for c in itertools.product(range(len(LABELS)), repeat=3)]
    found = score_labels(scorer, [sequences])[0].tolist()
    for labels, score in zip(sequences, found, strict=True):
        expected = by_words(ngrams, spelled(tuple(labels)))
        assert score == pytest.approx(expected, abs=1e-9), labels


def test_half_a_word_scores_as_the_best_word_that_begins_so() -> None:
    ngrams = words_model(2)
    scorer = scorer_of(ngrams)
    state = scorer.initial_state()
    unigrams = dict(
        zip(
            (ngrams.symbols[row] for row in ngrams.tables[0].words[:, 0]),
            ngrams.tables[0].log_probs * math.log(10),
            strict=True,
        )
    )
    first = scorer.score(state)[0, LABELS.index("▁a")]
    assert float(first) == pytest.approx(max(unigrams[w] for w in ("a", "ab", "abba")), abs=1e-5)
    state = scorer.advance(state, torch.tensor([LABELS.index("▁ca")]))
    gained = scorer.score(state)[0]
    assert float(gained[LABELS.index("b")]) == pytest.approx(0.0, abs=1e-6)  # still "cab"
    unknown = unigrams[UNKNOWN] - unigrams["cab"]
    assert float(gained[LABELS.index("a")]) == pytest.approx(unknown, abs=1e-5)
    chosen = scorer.score(state, torch.tensor([[1, 8, 0]]))
    torch.testing.assert_close(chosen[0], gained[[1, 8, 0]])


def test_without_an_unknown_word_others_score_as_the_rarest() -> None:
    ngrams = words_model(1)
    (table,) = ngrams.tables
    keep = [row for row, word in enumerate(table.words[:, 0]) if ngrams.symbols[word] != UNKNOWN]
    symbols = [symbol for symbol in ngrams.symbols if symbol != UNKNOWN]
    words = np.array(
        [[symbols.index(ngrams.symbols[table.words[row, 0]])] for row in keep], np.int32
    )
    closed = replace(
        ngrams,
        symbols=symbols,
        tables=[Table(words, table.log_probs[keep], table.log_backoffs[keep])],
    )
    labels = [[[LABELS.index("▁b"), LABELS.index("b")], [LABELS.index("▁a")]]]
    unknown, _ = score_labels(scorer_of(closed), labels)[0].tolist()
    rarest = min(by_words(closed, [word]) for word in WORDS)
    assert unknown == pytest.approx(rarest, abs=1e-5)


def test_what_becomes_of_unknown_words_is_said() -> None:
    ngrams = words_model(2)
    assert WordNgramModel(ngrams, Vocabulary(LABELS)).summary.startswith(
        f"6 words; others count as its <unk> (log p {by_unigram(ngrams, UNKNOWN):.1f})"
    )
    assert WordNgramModel(ngrams, Vocabulary(["▁a", "b"])).summary.endswith(
        "; 1 have letters that no label has: cab"
    )


def by_unigram(ngrams: Ngrams, word: str) -> float:
    (row,) = np.flatnonzero(ngrams.tables[0].words[:, 0] == ngrams.symbols.index(word))
    return float(ngrams.tables[0].log_probs[row]) * math.log(10)


def test_utterances_are_scored_apart() -> None:
    ngrams = words_model(3)
    sequences = [[[0, 2, 3], [6, 2]], [[3, 1, 5]], []]
    together = score_labels(scorer_of(ngrams, 3), sequences)
    for alone, found in zip(sequences, together, strict=True):
        torch.testing.assert_close(score_labels(scorer_of(ngrams), [alone])[0], found)


def test_labels_may_all_be_whole_words() -> None:
    model = WordNgramModel(words_model(2), Vocabulary(["▁a", "▁ab", "▁"]))
    scorer = model.label_scorer(Frames(torch.zeros(1)))
    found = score_labels(scorer, [[[0, 1], [2, 1, 2]]])[0].tolist()
    expected = [by_words(words_model(2), words) for words in (["a", "ab"], ["ab"])]
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("labels", "got"), [(["a", "b"], "none has"), (["▁a▁b"], "inside")])
def test_labels_that_do_not_spell_words_are_refused(labels: list[str], got: str) -> None:
    with pytest.raises(UserError, match=got):
        WordNgramModel(words_model(1), Vocabulary(labels))
