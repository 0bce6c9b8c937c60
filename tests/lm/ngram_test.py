"""Scores of next labels against the textbook and against KenLM's own queries."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from asrkit.errors import UserError
from asrkit.lm.arpa import read_arpa, write_arpa
from asrkit.lm.corpus import index_sentences
from asrkit.lm.kneser_ney import estimate
from asrkit.lm.ngram import NgramModel, NgramScorer
from asrkit.lm.perplexity import predict
from asrkit.lm.tables import Ngrams, Table
from asrkit.scorers.interfaces import LabelScorer, select
from asrkit.search.label_sync import LabelSyncSearch
from asrkit.text.vocabulary import Vocabulary
from tests.lm.kneser_ney_test import sentences
from tests.lm.textbook import Textbook

LABELS = list("fabcdez")  # z does not occur; g to k of the text are no labels


@dataclass(frozen=True)
class Frames:
    lengths: Tensor


def _rows(table: Table, rows: list[int]) -> Table:
    index = np.array(rows, dtype=np.int64)
    return Table(table.words[index], table.log_probs[index], table.log_backoffs[index])


def model_and_textbook(
    order: int, closed: bool, prune: list[int] | None = None
) -> tuple[Ngrams, Textbook]:
    text, vocabulary = sentences(4), LABELS if closed else None
    if not closed:
        text += [["z"]]
    ngrams = estimate(index_sentences(text, vocabulary), order, prune or []).ngrams
    return ngrams, Textbook(text, order, vocabulary, prune)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("closed", [True, False])
def test_scores_are_the_textbook_probabilities_for_every_history(order: int, closed: bool) -> None:
    ngrams, textbook = model_and_textbook(order, closed, [0] * (order - 1) + [order // 4])
    vocabulary = Vocabulary(LABELS)
    scorer: LabelScorer = NgramModel(ngrams, vocabulary).label_scorer(Frames(torch.tensor([7])))
    state = scorer.initial_state()
    histories: list[tuple[str, ...]] = [()]
    rng = random.Random(0)
    for _ in range(4):
        scores = scorer.score(state).exp()
        assert scores.shape == (len(histories), len(LABELS) + 1)
        for row, history in enumerate(histories):
            expected = [textbook.prob(("<s>", *history), w) for w in [*LABELS, "</s>"]]
            assert scores[row].tolist() == pytest.approx([float(p) for p in expected], rel=1e-4)
        grown = list(itertools.product(range(len(histories)), range(len(LABELS))))
        chosen = rng.sample(grown, min(20, len(grown)))
        parents = torch.tensor([parent for parent, _ in chosen])
        labels = torch.tensor([label for _, label in chosen])
        state = scorer.advance(select(state, parents), labels)
        histories = [(*histories[parent], LABELS[label]) for parent, label in chosen]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_candidates_get_the_same_scores(order: int) -> None:
    ngrams, _ = model_and_textbook(order, True)
    model = NgramModel(ngrams, Vocabulary(LABELS))
    scorer = NgramScorer(model, 3)
    torch.manual_seed(0)
    state = scorer.initial_state()
    for _ in range(3):
        candidates = torch.randint(len(LABELS) + 1, (3, 4))
        expected = scorer.score(state).gather(1, candidates)
        torch.testing.assert_close(scorer.score(state, candidates), expected)
        state = scorer.advance(state, torch.randint(len(LABELS), (3,)))
    part = scorer.subset(torch.tensor([2]))
    assert part.initial_state().shape[0] == 1


def test_sentences_are_scored_like_their_steps() -> None:
    ngrams, textbook = model_and_textbook(3, True)
    model = NgramModel(ngrams, Vocabulary(LABELS))
    labels, lengths = torch.tensor([[1, 2, 1], [5, 0, 0], [0, 0, 0]]), torch.tensor([3, 1, 0])
    scores = model.sentence_log_probs(labels, lengths)
    for row, length in enumerate(lengths.tolist()):
        tokens = [*(LABELS[i] for i in labels[row, :length].tolist()), "</s>"]
        for place, token in enumerate(tokens):
            expected = textbook.prob(("<s>", *tokens[:place]), token)
            assert scores[row, place].exp().item() == pytest.approx(float(expected), rel=1e-4)
        assert scores[row, length + 1 :].tolist() == [0.0] * (3 - length)


def test_a_search_finds_the_most_probable_sentence() -> None:
    ngrams, textbook = model_and_textbook(2, True)
    model = NgramModel(ngrams, Vocabulary(LABELS))

    search = LabelSyncSearch({"ngram": 1.0}, beam_size=60)
    heads = {"ngram": model}
    found, other = search.over(heads).run(Frames(torch.tensor([3, 2])))

    def log_prob(sentence: tuple[str, ...]) -> float:
        tokens = ("<s>", *sentence, "</s>")
        places = range(1, len(tokens))
        return sum(math.log(textbook.prob(tokens[:place], tokens[place])) for place in places)

    everything = itertools.chain(*(itertools.product(LABELS, repeat=n) for n in range(4)))
    best = max(everything, key=log_prob)
    assert tuple(LABELS[label] for label in found[0].labels) == best
    assert found[0].score == pytest.approx(log_prob(best), abs=1e-4)
    assert len(other[0].labels) <= 2


@pytest.mark.parametrize(("order", "prune"), [(2, []), (4, []), (5, [0, 0, 1])])
def test_kenlm_gives_the_same_scores_to_our_file(
    tmp_path: Path, order: int, prune: list[int]
) -> None:
    kenlm = pytest.importorskip("kenlm", reason="kenlm is not installed: pip install kenlm")
    text = sentences(5, count=200)
    ngrams = estimate(index_sentences(text, list("abcdefg")), order, prune).ngrams
    path = write_arpa(ngrams, tmp_path / "m.arpa")
    reference, ngrams = kenlm.Model(str(path)), read_arpa(path)
    unseen = [[*sentence, "never", "a", *sentence[::-1]] for sentence in sentences(6)]
    for sentence in [*sentences(7), *unseen, ["never", "never"]]:
        expected = reference.score(" ".join(sentence)) * math.log(10)
        assert predict(ngrams, [sentence]).log_prob == pytest.approx(expected, abs=1e-4)


def test_perplexities_come_from_sums() -> None:
    ngrams, textbook = model_and_textbook(2, True)
    total = predict(ngrams, [["a", "h"], ["b"]])
    probs = [
        textbook.prob(("<s>",), "a"),
        textbook.prob(("a",), "<unk>"),
        textbook.prob(("<unk>",), "</s>"),
        textbook.prob(("<s>",), "b"),
        textbook.prob(("b",), "</s>"),
    ]
    assert (total.sentences, total.tokens, total.unknown) == (2, 5, 1)
    assert total.log_prob == pytest.approx(math.log(math.prod(probs)), rel=1e-4)
    assert total.per_token == pytest.approx(math.prod(probs) ** (-1 / 5), rel=1e-4)
    assert total.per_word(3) == pytest.approx(total.per_token)
    known = math.prod(probs) / probs[1]
    assert total.per_known_token == pytest.approx(known ** (-1 / 4), rel=1e-4)


def test_vocabularies_that_do_not_match_are_refused() -> None:
    ngrams, _ = model_and_textbook(2, True)
    with pytest.raises(UserError, match="m.arpa lacks 2 of the 3 labels.*: 'x', 'y'; est"):
        NgramModel(ngrams, Vocabulary(["x", "a", "y"]), "m.arpa")


def test_models_without_prefixes_or_with_doubled_ngrams_are_refused() -> None:
    ngrams, _ = model_and_textbook(3, True)
    unigrams, bigrams, trigrams = ngrams.tables
    broken = Ngrams(ngrams.symbols, [unigrams, _rows(bigrams, [0]), trigrams])
    with pytest.raises(UserError, match="3-grams whose first 2 words are not among its 2-grams"):
        NgramModel(broken, Vocabulary(LABELS))
    doubled = Ngrams(ngrams.symbols, [unigrams, _rows(bigrams, [*range(len(bigrams)), -1])])
    with pytest.raises(UserError, match="a 2-gram twice"):
        NgramModel(doubled, Vocabulary(LABELS))


def test_orders_without_any_usable_ngram_back_off() -> None:
    ngrams, _ = model_and_textbook(3, True)
    unigrams, bigrams, trigrams = ngrams.tables
    nothing = Ngrams(ngrams.symbols, [unigrams, _rows(bigrams, []), _rows(trigrams, [])])
    model = NgramModel(nothing, Vocabulary(LABELS))
    state = model.step(model.begin(1), torch.tensor([1]))
    alone = NgramModel(Ngrams(ngrams.symbols, [unigrams]), Vocabulary(LABELS))
    weight = model.get_buffer("backoffs_1")[1]
    torch.testing.assert_close(model.log_probs(state), alone.log_probs(alone.begin(1)) + weight)
    everything = torch.arange(len(LABELS) + 1)[None]
    torch.testing.assert_close(model.candidate_log_probs(state, everything), model.log_probs(state))
