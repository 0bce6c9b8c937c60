"""Hypotheses of the same words become one, whatever labels they are made of."""

from __future__ import annotations

import itertools
import math
import random
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from asrkit.lattice.topologies import CtcTopology, RnaTopology, RnntTopology, Topology
from asrkit.lm.corpus import index_sentences
from asrkit.lm.kneser_ney import estimate
from asrkit.lm.tables import Ngrams, Table
from asrkit.lm.word_ngram import WordNgramModel
from asrkit.scorers.entries import Scorer
from asrkit.scorers.interfaces import State
from asrkit.scorers.ngram import WordNgramScorer
from asrkit.search.forced import forced
from asrkit.search.label_sync import LabelSyncSearch
from asrkit.search.time_sync import TimeSyncSearch
from asrkit.search.transducer import TransducerSearch
from asrkit.search.two_pass import score_labels
from asrkit.search.word_strings import WordStrings
from asrkit.text.vocabulary import Vocabulary
from tests.search.search_test import Frames, Head
from tests.search.transducer_test import Symbols, Transducer, enumerated

LABELS = ["▁a", "a", "b", "▁b", "▁ab", "▁"]
WORDS = ["a", "ab", "abba", "b", "ba"]
LIMIT = 3


class Encoded:
    lengths = torch.tensor([LIMIT, LIMIT - 1])


class UnigramScorer:
    """log p(next), a table (B, V + 1)."""

    partial = False

    def __init__(self, tables: Tensor) -> None:
        self.tables = tables

    def label_scorer(self, encoded: Any) -> UnigramScorer:
        return self

    def initial_state(self) -> State:
        return torch.zeros(len(self.tables))

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        assert isinstance(state, Tensor)
        scores = self.tables.repeat_interleave(len(state) // len(self.tables), 0)
        return scores if candidates is None else scores.gather(1, candidates)

    def advance(self, state: State, labels: Tensor) -> State:
        return state

    def subset(self, utterances: Tensor) -> UnigramScorer:
        return UnigramScorer(self.tables[utterances])


def words_of(labels: tuple[int, ...], texts: list[str] = LABELS) -> str:
    return " ".join("".join(texts[label] for label in labels).replace("▁", " ").split())


def sequences(limit: int) -> list[tuple[int, ...]]:
    return [c for n in range(limit + 1) for c in itertools.product(range(len(LABELS)), repeat=n)]


def walked(strings: WordStrings, labels: tuple[int, ...]) -> Tensor:
    state = torch.zeros(2, dtype=torch.int64)
    for label in labels:
        state = strings.after(state, torch.tensor(label))
    return state


def test_strings_are_the_same_where_their_words_are() -> None:
    strings = WordStrings(Vocabulary(LABELS), torch.device("cpu"))
    by_words: dict[str, int] = {}
    by_key: dict[int, tuple[str, str]] = {}
    for labels in sequences(4):
        state, words = walked(strings, labels), words_of(labels)
        assert by_words.setdefault(words, int(state[0])) == int(state[0]), labels
        following = (words, words_of((*labels, LABELS.index("b"))))
        key = int(strings.keys(state))
        assert by_key.setdefault(key, following) == following, labels
    assert len(set(by_words.values())) == len(by_words)


def test_labels_without_spaces_are_words() -> None:
    strings = WordStrings(Vocabulary(["a", "b", "ab"]), torch.device("cpu"))
    assert not torch.equal(walked(strings, (0, 1)), walked(strings, (2,)))


def model(labels: list[str] = LABELS) -> WordNgramModel:
    rng = random.Random(0)
    text = [rng.choices(WORDS, weights=[6, 5, 1, 4, 2], k=rng.randint(1, 3)) for _ in range(60)]
    return WordNgramModel(estimate(index_sentences(text), 3, []).ngrams, Vocabulary(labels))


def every_score(tables: Tensor, weight: float) -> list[dict[tuple[int, ...], float]]:
    """Returns the score of each label sequence of each utterance."""
    result = []
    for row, limit in enumerate(Encoded.lengths.tolist()):
        every = sequences(limit)
        said = score_labels(UnigramScorer(tables[row : row + 1]), [[list(c) for c in every]])[0]
        single: Any = type("One", (), {"lengths": torch.zeros(1)})()
        words = score_labels(model().label_scorer(single), [[list(c) for c in every]])[0]
        result.append(dict(zip(every, (said + weight * words).tolist(), strict=True)))
    return result


@pytest.mark.parametrize("length_norm", [0.0, 0.7])
@pytest.mark.parametrize("recombination", ["max", "sum"])
def test_n_best_lists_hold_each_string_of_words_once(
    recombination: Literal["max", "sum"], length_norm: float
) -> None:
    tables = torch.randn(2, len(LABELS) + 1, generator=torch.manual_seed(1)).log_softmax(1)
    scorers: dict[str, float | Scorer] = {"a": 1.0, "lm": WordNgramScorer(0.6, Path("lm"))}
    search = LabelSyncSearch(
        scorers, 400, length_norm, nbest=400, patience=99, recombination=recombination
    )
    loaded = search.over({"a": UnigramScorer(tables), "lm": model()}, Vocabulary(LABELS))
    for n_best, every in zip(loaded.run(Encoded()), every_score(tables, 0.6), strict=True):
        groups: dict[str, list[tuple[float, int]]] = defaultdict(list)
        for labels, score in every.items():
            groups[words_of(labels)].append((score, len(labels) + 1))
        found = {words_of(tuple(each.labels)): each for each in n_best}
        assert len(found) == len(n_best) == len(groups)
        for words, each in found.items():
            best = max(score / count**length_norm for score, count in groups[words])
            if recombination == "sum":
                count = len(each.labels) + 1
                total = np.logaddexp.reduce([score for score, _ in groups[words]])
                best = total / count**length_norm
            assert each.score == pytest.approx(best, abs=1e-4), words


def test_words_that_gain_at_their_end_do_not_end_the_search_early() -> None:
    unigrams = {"<s>": 0.0, "</s>": math.log10(0.98), "b": -2.0}
    bigrams = {("<s>", "</s>"): math.log10(0.05), ("<s>", "b"): math.log10(0.95)}
    symbols = list(unigrams)
    tables = [
        Table(
            np.array([[symbols.index(word) for word in row] for row in rows], np.int32),
            np.array(log_probs, np.float32),
            np.zeros(len(rows), np.float32),
        )
        for rows, log_probs in (
            ([(word,) for word in unigrams], list(unigrams.values())),
            (list(bigrams), list(bigrams.values())),
        )
    ]
    words = WordNgramModel(Ngrams(symbols, tables), Vocabulary(LABELS[:-1]))
    search = LabelSyncSearch({"lm": WordNgramScorer(1.0, Path("lm"))}, 4)
    # After <s> the end is likelier than the word by itself, not than the word in this place.
    for n_best in search.over({"lm": words}).run(Encoded()):
        assert n_best[0].labels
        assert n_best[0].score == pytest.approx(math.log(0.95 * 0.98), abs=1e-5)


def by_words(
    labels: list[str], strings: dict[tuple[int, ...], float], weight: float, add: bool
) -> dict[str, float]:
    """Returns the score of each string of words, of those of strings of labels."""
    single: Any = type("One", (), {"lengths": torch.zeros(1)})()
    scorer = model(labels).label_scorer(single)
    said = score_labels(scorer, [[[*string] for string in strings]])[0].tolist()
    groups: dict[str, list[float]] = defaultdict(list)
    for (string, score), words in zip(strings.items(), said, strict=True):
        groups[words_of(string, labels)].append(score + weight * words)
    return {w: float(np.logaddexp.reduce(g)) if add else max(g) for w, g in groups.items()}


@pytest.mark.parametrize("recombination", ["max", "sum"])
def test_searches_over_frames_keep_one_hypothesis_of_each_string_of_words(
    recombination: Literal["max", "sum"],
) -> None:
    torch.manual_seed(2)
    frames = Frames((2 * torch.randn(2, 3, len(LABELS) + 1)).log_softmax(2), torch.tensor([3, 2]))
    scorers: dict[str, float | Scorer] = {"ctc": 1.0, "lm": WordNgramScorer(0.6, Path("lm"))}
    merge: Literal["string_and_symbol"] = "string_and_symbol"
    search = TimeSyncSearch(scorers, 800, "ctc", recombination, merge, True, strings="words")
    loaded = search.over({"ctc": Head(frames), "lm": model()}, Vocabulary(LABELS))
    for row, n_best in enumerate(loaded.run(frames)):
        strings: dict[tuple[int, ...], float] = {}
        for path in itertools.product(range(len(LABELS) + 1), repeat=int(frames.lengths[row])):
            string = tuple(s for s, _ in itertools.groupby(path) if s != len(LABELS))
            score = sum(float(frames.log_probs[row, t, s]) for t, s in enumerate(path))
            both = (strings.get(string, -math.inf), score)
            strings[string] = float(np.logaddexp(*both)) if recombination == "sum" else max(both)
        expected = by_words(LABELS, strings, 0.6, recombination == "sum")
        found = {words_of(tuple(each.labels)): each.score for each in n_best}
        assert len(expected) < len(strings)
        assert len(found) == len(n_best)
        assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("recombination", ["max", "sum"])
@pytest.mark.parametrize("topology", [RnaTopology(), RnntTopology(), CtcTopology()])
def test_transducers_keep_one_hypothesis_of_each_string_of_words(
    topology: Topology, recombination: Literal["max", "sum"]
) -> None:
    labels = ["▁", "▁a"]  # so that labels without letters may be anywhere
    torch.manual_seed(3)
    length = 2 if topology.labels_stay else 4
    tables = (2 * torch.randn(2, length, 1, 3)).log_softmax(3)  # after all labels alike
    symbols = Symbols(tables, torch.tensor([length, 2]), topology)
    scorers: dict[str, float | Scorer] = {"transducer": 1.0, "lm": WordNgramScorer(0.6, Path("lm"))}
    wide = TransducerSearch(
        200, scorers, recombination=recombination, max_symbols=2, strings="words"
    )
    loaded = wide.over({"transducer": Transducer(symbols), "lm": model(labels)}, Vocabulary(labels))
    for row, n_best in enumerate(loaded.run(symbols)):
        strings = enumerated(symbols, row, recombination == "sum", 2)
        expected = by_words(labels, strings, 0.6, recombination == "sum")
        found = {words_of(tuple(each.labels), labels): each.score for each in n_best}
        assert len(expected) < len(strings)
        assert len(found) == len(n_best)
        assert found == pytest.approx(expected, abs=1e-4)
    # Held to labels, other spellings of their words don't take their place.
    for string in ([0, 1], [1, 0]):
        for one, row in zip(forced(loaded, symbols, [string, string], 2), (0, 1), strict=True):
            alone = enumerated(symbols, row, recombination == "sum", 2)[tuple(string)]
            assert one is not None
            assert one.scores["transducer"] == pytest.approx(alone, abs=1e-4)
