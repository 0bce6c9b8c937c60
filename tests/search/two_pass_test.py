"""Scores of given sentences, against enumeration and against what searches say themselves."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch

from asrkit.scorers.ctc_prefix import CtcPrefixScorer
from asrkit.scorers.entries import Scorer
from asrkit.scorers.first_pass import FirstPassScorer
from asrkit.scorers.loader import FoundHead
from asrkit.scorers.sources import Source
from asrkit.search.ctc_greedy import CtcGreedySearch
from asrkit.search.ctc_prefix_beam import CtcPrefixBeamSearch
from asrkit.search.forced import forced
from asrkit.search.label_sync import LabelSyncSearch
from asrkit.search.search import Search
from asrkit.search.time_sync import TimeSyncSearch
from asrkit.search.two_pass import TwoPassSearch, score_labels
from asrkit.text.vocabulary import Vocabulary
from tests.search.search_test import (
    BigramScorer,
    Head,
    V,
    bigram,
    random_case,
    string_probabilities,
)


def test_whole_sequences_score_as_enumerated_also_with_repeated_labels() -> None:
    frames, tables = random_case(1, [4, 3])
    lists = [[[0, 0], [], [1, 0, 1]], [[1, 1]]]
    ctc = score_labels(CtcPrefixScorer(frames.log_probs, frames.lengths), lists)
    language = score_labels(BigramScorer(tables), lists)
    for row, some in enumerate(lists):
        exact = string_probabilities(frames, row)
        assert len(ctc[row]) == len(some)
        for place, labels in enumerate(some):
            expected = math.log(exact[tuple(labels)])
            assert float(ctc[row][place]) == pytest.approx(expected, abs=1e-4)
            said = bigram(tables[row], tuple(labels))
            assert float(language[row][place]) == pytest.approx(said, abs=1e-4)


def test_a_second_pass_orders_by_the_sum_over_all_alignments() -> None:
    frames, tables = random_case(2, [4, 3, 2])
    heads: dict[str, Any] = {"ctc": Head(frames), "attention": Head(frames, tables)}
    first = LabelSyncSearch({"attention": 1.0}, beam_size=30, nbest=15)
    search = TwoPassSearch(first, {"ctc": 0.3, "attention": 0.7})
    for row, n_best in enumerate(search.over(heads).run(frames)):
        exact = string_probabilities(frames, row)
        assert [h.score for h in n_best] == sorted((h.score for h in n_best), reverse=True)
        for hypothesis in n_best:
            labels = tuple(hypothesis.labels)
            if labels not in exact:
                assert hypothesis.score < -1e20
                continue
            expected = 0.3 * math.log(exact[labels]) + 0.7 * bigram(tables[row], labels)
            assert hypothesis.score == pytest.approx(expected, abs=1e-4)
    assert search.own_heads == ["ctc", "attention", "attention"]


def test_the_passes_of_a_search_load_their_own_scorers() -> None:
    frames, tables = random_case(2, [4, 3])
    other = random_case(9, [4, 3])[1]

    class Loader:
        """Gives the heads of both passes, which have one name, in order."""

        found = [Head(frames, other), Head(frames, tables)]
        vocabulary = Vocabulary(["a", "b"])

        def head(self, name: str, run: object, checkpoint: str) -> FoundHead:
            assert name == "attention"
            return FoundHead(self.found.pop(0), name)

    first = LabelSyncSearch({"attention": 1.0}, beam_size=30)
    loader: Any = Loader()
    loaded = TwoPassSearch(first, {"attention": 1.0}, first_weight=0.5).load(loader)
    for row, n_best in enumerate(loaded.run(frames)):
        for hypothesis in n_best:
            labels = tuple(hypothesis.labels)
            before, after = bigram(tables[row], labels), bigram(other[row], labels)
            assert hypothesis.scores == pytest.approx({"attention": after, "first": before}, 1e-4)
            assert hypothesis.score == pytest.approx(after + 0.5 * before, abs=1e-4)
    assert loaded.seconds.keys() == {"first", "attention"}


WEIGHTS = {"ctc": 0.4, "attention": 0.6}
SEARCHES = [
    LabelSyncSearch(WEIGHTS, 2, length_norm=0.5, pre_beam=V),
    TimeSyncSearch(WEIGHTS, 2),
    TimeSyncSearch(WEIGHTS, 2, recombination="sum", merge="string_and_symbol"),
    CtcPrefixBeamSearch(2, WEIGHTS),
    LabelSyncSearch({"ctc": 1.0}, 2),  # no other scorer chooses labels for CTC
]


@pytest.mark.parametrize("search", SEARCHES, ids=["label", "time", "time-sum", "prefix", "ctc"])
def test_a_forced_search_says_of_a_sentence_what_the_free_one_says(search: Search) -> None:
    wide = {"beam_size": 200}
    for seed in range(5):
        frames, tables = random_case(seed, [4, 3])
        heads: dict[str, Any] = {"ctc": Head(frames), "attention": Head(frames, tables)}
        search.__dict__.update(wide)
        free = search.over(heads).run(frames)
        search.__dict__.update(beam_size=2)
        for place in range(3):
            references = [n_best[place].labels for n_best in free]
            found = forced(search.over(heads), frames, references, V)
            for row, hypothesis in enumerate(found):
                assert hypothesis is not None
                assert hypothesis.labels == references[row]
                assert hypothesis.score == pytest.approx(free[row][place].score, abs=1e-4)
                assert hypothesis.scores.keys() == free[row][place].scores.keys()


def test_what_a_search_is_held_to_leaves_it_as_it_was() -> None:
    frames, tables = random_case(4, [4, 2])
    search = TimeSyncSearch(WEIGHTS, 3)
    loaded = search.over({"ctc": Head(frames), "attention": Head(frames, tables)})
    before, seconds = loaded.run(frames), dict(loaded.seconds)
    settings = dict(vars(search))
    forced(loaded, frames, [[0, 1], [0]], V)
    assert vars(search) == settings
    assert loaded.parts.weights == WEIGHTS
    assert dict(loaded.seconds) == seconds
    assert loaded.run(frames) == before
    again = search.over({"ctc": Head(frames), "attention": Head(frames, tables)})
    assert not again.seconds, "each loaded search has a stopwatch of its own"


def test_sentences_without_a_path_are_told() -> None:
    frames, tables = random_case(4, [4, 2])
    heads: dict[str, Any] = {"ctc": Head(frames), "attention": Head(frames, tables)}
    found = forced(TimeSyncSearch(WEIGHTS, 3).over(heads), frames, [[0, 1], [0, 0]], V)
    assert found[0] is not None
    assert found[1] is None  # a repeated label needs three frames


def test_what_a_search_does_not_look_at_it_can_still_be_held_to() -> None:
    frames, _ = random_case(4, [4, 2])
    heads: dict[str, Any] = {"ctc": Head(frames)}
    label = int(frames.log_probs[:, :, :V].sum((0, 1)).argmin())
    for symbols in (None, 1):
        search = CtcPrefixBeamSearch(2, {"ctc": 1.0}, symbols=symbols)
        for row, hypothesis in enumerate(forced(search.over(heads), frames, [[label]] * 2, V)):
            assert hypothesis is not None
            exact = string_probabilities(frames, row)[(label,)]
            assert hypothesis.score == pytest.approx(math.log(exact), abs=1e-4)


def test_equal_sequences_score_alike_in_any_batch() -> None:
    frames, _ = random_case(6, [4, 3])
    scorer = CtcPrefixScorer(frames.log_probs, frames.lengths)
    every = [list(labels) for n in range(3) for labels in itertools.product(range(V), repeat=n)]
    together = score_labels(scorer, [every, every])
    for place, labels in enumerate(every):
        alone = score_labels(scorer, [[labels], [labels]])
        for row in range(2):
            torch.testing.assert_close(together[row][place], alone[row][0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("first_weight", [0.0, 0.5])
def test_both_passes_are_held_to_sequences(first_weight: float) -> None:
    frames, tables = random_case(3, [4, 3])
    heads: dict[str, Any] = {"ctc": Head(frames), "attention": Head(frames, tables)}
    first = CtcPrefixBeamSearch(60, {"ctc": 1.0})
    search = TwoPassSearch(first, {"attention": 0.7}, first_weight=first_weight)
    lists = search.over(heads).run(frames)
    narrow = TwoPassSearch(CtcPrefixBeamSearch(1), {"attention": 0.7}, first_weight=first_weight)
    assert narrow.can_be_forced
    for place in range(4):
        references = [n_best[place].labels for n_best in lists]
        for row, one in enumerate(forced(narrow.over(heads), frames, references, V)):
            assert one is not None
            assert one.score == pytest.approx(lists[row][place].score, abs=1e-4)
    impossible = forced(narrow.over(heads), frames, [[0, 0, 0, 0]] * 2, V)
    assert [one is None for one in impossible] == [bool(first_weight)] * 2


def test_greedy_paths_are_the_best_of_all_paths() -> None:
    frames, _ = random_case(5, [4, 2])
    loaded = CtcGreedySearch().over({"ctc": Head(frames)})
    best = [n_best[0] for n_best in loaded.run(frames)]
    for row, one in enumerate(forced(loaded, frames, [h.labels for h in best], V)):
        assert one is not None
        assert one.score == pytest.approx(best[row].score, abs=1e-5)
    for labels in ([0], [1], [0, 1]):
        found = forced(loaded, frames, [labels, [0, 0]], V)
        assert found[0] is not None
        assert found[0].score <= best[0].score + 1e-5
        paths = itertools.product(range(V + 1), repeat=4)
        fitting = [
            float(frames.log_probs[0][range(4), path].sum())
            for path in paths
            if [s for s, _ in itertools.groupby(path) if s != V] == labels
        ]
        assert found[0].score == pytest.approx(max(fitting), abs=1e-5)
        assert found[1] is None, "a repeated label needs three frames"


def test_scores_of_the_first_search_get_other_weights_or_none() -> None:
    frames, tables = random_case(3, [4, 3])
    language = random_case(9, [4, 3])[1]
    heads: dict[str, Any] = {
        "ctc": Head(frames),
        "attention": Head(frames, tables),
        "better": Head(frames, language),
        "heard": Source("a score"),
    }
    first = CtcPrefixBeamSearch(60, {"ctc": 1.0, "attention": 0.5})
    again: dict[str, float | Scorer] = {"heard": FirstPassScorer(0.3, "ctc"), "better": 0.7}
    search = TwoPassSearch(first, again).over(heads)
    before = first.over(heads).run(frames)
    for row, n_best in enumerate(search.run(frames)):
        assert n_best == sorted(n_best, key=lambda h: -h.score)
        old = {tuple(h.labels): h for h in before[row]}
        references = [h.labels for h in n_best[:3]]
        for hypothesis in n_best:
            heard = old[tuple(hypothesis.labels)].scores["ctc"]
            said = bigram(language[row], tuple(hypothesis.labels))
            assert hypothesis.scores["heard"] == heard
            assert hypothesis.score == pytest.approx(0.3 * heard + 0.7 * said, abs=1e-4)
        for place, labels in enumerate(references):
            one = forced(search, frames, [labels] * 2, V)[row]
            assert one is not None
            assert one.score == pytest.approx(n_best[place].score, abs=1e-4)


def test_scores_that_the_first_search_lacks_are_named() -> None:
    with pytest.raises(ValueError, match="the first search has no scorer 'lm'; it has ctc"):
        TwoPassSearch(CtcPrefixBeamSearch(2), {"lm": FirstPassScorer(1.0)})
