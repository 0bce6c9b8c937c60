"""Lists of several systems: their join against plain sums, their votes against plain counts."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest

from asrkit.errors import UserError
from asrkit.scorers.interfaces import Hypothesis
from asrkit.scorers.lists import ListsScorer
from asrkit.scorers.sources import Source
from asrkit.search.combination import CombinationSearch
from asrkit.search.rover import RoverSearch, Spelling, network, posteriors
from asrkit.text.vocabulary import Vocabulary
from tests.search.search_test import Head, bigram, random_case

NAMES = ["utterance-a", "utterance-b"]
Lists = dict[str, list[Hypothesis]]


def drawn(seed: int, most: int = 6) -> Lists:
    draw = random.Random(seed)
    strings = [list(s) for n in range(4) for s in itertools.product((0, 1), repeat=n)]
    return {
        name: sorted(
            (
                Hypothesis(labels, draw.gauss(-3, 2), {"part": draw.random()})
                for labels in draw.sample(strings, draw.randint(1, most))
            ),
            key=lambda one: -one.score,
        )
        for name in NAMES
    }


def source(lists: Lists) -> Source:
    return Source("lists", lists=lambda name: lists[name])


def test_joined_hypotheses_have_the_sum_of_all_scores() -> None:
    frames, tables = random_case(3, [4, 3])
    one, two = drawn(0), drawn(1)
    scorers: dict[str, Any] = {
        "one": ListsScorer(0.7, "words"), "two": ListsScorer(0.4, "words"), "lm": 0.5
    }  # fmt: skip
    search = CombinationSearch(scorers, missing=2.0)
    heads = {"one": source(one), "two": source(two), "lm": Head(frames, tables)}
    found = search.over(heads).run(frames, NAMES)
    for row, name in enumerate(NAMES):
        said = [{tuple(h.labels): h.score for h in lists[name]} for lists in (one, two)]
        expected = {
            labels: 0.7 * said[0].get(labels, min(said[0].values()) - 2.0)
            + 0.4 * said[1].get(labels, min(said[1].values()) - 2.0)
            + 0.5 * bigram(tables[row], labels)
            for labels in said[0].keys() | said[1].keys()
        }
        assert len(found[row]) == len(expected)
        scores = [h.score for h in found[row]]
        assert scores == sorted(scores, reverse=True)
        for hypothesis in found[row]:
            assert hypothesis.score == pytest.approx(expected[tuple(hypothesis.labels)], abs=1e-4)
            assert hypothesis.scores.keys() == {"one", "two", "lm"}


def test_a_list_of_one_search_keeps_its_order_and_an_empty_one_says_nothing() -> None:
    frames, _ = random_case(3, [4, 3])
    one = drawn(4)
    alone = CombinationSearch({"one": ListsScorer(1.0, "words")}).over({"one": source(one)})
    empty: Lists = {name: [] for name in NAMES}
    both = CombinationSearch({"none": ListsScorer(1.0, "x"), "one": ListsScorer(1.0, "words")})
    loaded = both.over({"one": source(one), "none": source(empty)})
    for search in (alone, loaded):
        for name, found in zip(NAMES, search.run(frames, NAMES), strict=True):
            assert [h.labels for h in found] == [h.labels for h in one[name]]
    nothing = CombinationSearch({"none": ListsScorer(1.0, "x")}).over({"none": source(empty)})
    assert nothing.run(frames, NAMES) == [[], []]


def test_without_lists_or_names_of_utterances_it_is_refused() -> None:
    frames, _ = random_case(3, [4, 3])
    with pytest.raises(ValueError, match=r"\(lm\): at least one must be of type lists"):
        CombinationSearch({"lm": 1.0})
    with pytest.raises(ValueError, match="scorers lm: all must be of type lists"):
        RoverSearch({"one": ListsScorer(1.0, "words"), "lm": 1.0})
    loaded = CombinationSearch({"one": ListsScorer(1.0, "words")}).over({"one": source(drawn(0))})
    with pytest.raises(UserError, match="use it by asrkit decode or tune"):
        loaded.run(frames)


def test_places_have_the_votes_of_hypotheses_of_the_same_length() -> None:
    draw = random.Random(2)
    for _ in range(20):
        # Words of one place are in no other, so that hypotheses can be aligned in one way only.
        choices = [[f"{place}{letter}" for letter in "abc"] for place in range(3)]
        votes = {words: draw.random() for words in draw.sample([*itertools.product(*choices)], 5)}
        slots = network(votes)
        assert len(slots) == 3
        for place, slot in enumerate(slots):
            for word in choices[place]:
                expected = sum(share for words, share in votes.items() if words[place] == word)
                assert slot.votes.get(word, 0.0) == pytest.approx(expected)


def test_a_word_is_left_out_or_put_in_by_the_majority() -> None:
    spoken = {("a", "b", "c"): 0.4, ("a", "c"): 0.35, ("a", "x", "c"): 0.05, ("a", "c", "d"): 0.2}
    slots = network(spoken)
    assert [slot.best[0] for slot in slots] == ["a", None, "c", None]
    assert [slot.best[1] for slot in slots] == pytest.approx([1.0, 0.55, 1.0, 0.8])
    assert all(sum(slot.votes.values()) == pytest.approx(1.0) for slot in slots)
    assert [slot.best[0] for slot in network({("a", "b"): 0.4, ("b",): 0.6})] == [None, "b"]
    assert network({(): 1.0}) == []


def test_rover_votes_by_weights_and_probabilities() -> None:
    vocabulary = Vocabulary(["\u2581a", "\u2581b", "\u2581c", "d"])
    frames, _ = random_case(3, [4])
    systems = {
        "one": [Hypothesis([0, 1, 3], -1.0, {}), Hypothesis([0, 2], -1.5, {})],
        "two": [Hypothesis([0, 2], -2.0, {})],
        "three": [Hypothesis([0, 1, 3, 0], 0.0, {})],
    }
    entries = {"one": 0.5, "two": 0.3, "three": 0.2}
    search = RoverSearch(
        {name: ListsScorer(weight, "words") for name, weight in entries.items()}, sharpness=2.0
    )
    heads = {name: source({"u": lists}) for name, lists in systems.items()}
    (found,) = search.over(heads, vocabulary).run(frames, ["u"])
    first = 1 / (1 + math.exp(-1.0))  # of "a bd" in the first list
    said = max(0.5 * first + 0.2, 0.5 * (1 - first) + 0.3)
    assert found[0].labels == ([0, 1, 3] if 0.5 * first + 0.2 > 0.5 else [0, 2])
    assert found[0].score == pytest.approx(math.log(said) + math.log(0.8))


def test_probabilities_are_those_of_scaled_scores() -> None:
    shares = posteriors([-1.0, -2.0, -4.0], 0.5)
    weights = [math.exp(0.5 * score) for score in (-1.0, -2.0, -4.0)]
    assert shares == pytest.approx([weight / sum(weights) for weight in weights])


def test_words_are_cut_at_spaces_and_spelled_again() -> None:
    spelling = Spelling(Vocabulary(["\u2581a", "b", "\u2581", "c"]))
    assert spelling.words([0, 1, 2, 3, 0]) == ("ab", "c", "a")
    assert spelling.labels_of == {"ab": [0, 1], "c": [2, 3], "a": [0]}
    assert Spelling(Vocabulary(["a", "b"])).words([0, 1]) == ("a", "b")
