"""Alignments by CTC of phones are the best of all paths."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from asrkit.errors import UserError
from asrkit.hmm.lexicon import Lexicon, Pronunciation
from asrkit.hmm.phone_ctc import ctc_graph
from asrkit.hmm.viterbi import best_path

PHONES = {"A": 0, "B": 1}
BLANK = 2
LEXICON = Lexicon(
    {
        "a": [Pronunciation(("A",))],
        "ab": [Pronunciation(("A", "B"), 0.7), Pronunciation(("B",), 0.3)],
        "aa": [Pronunciation(("A", "A"))],
    }
)


def said(words: list[str]) -> dict[tuple[int, ...], float]:
    """Returns all pronunciations of a transcript and their costs."""
    found: dict[tuple[int, ...], float] = {}
    for chosen in itertools.product(*(LEXICON[word] for word in words)):
        phones = tuple(PHONES[phone] for variant in chosen for phone in variant.phones)
        cost = sum(variant.cost for variant in chosen)
        found[phones] = min(cost, found.get(phones, math.inf))
    return found


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK)


@pytest.mark.parametrize("words", [[], ["a"], ["aa"], ["a", "ab"], ["ab", "aa"], ["a", "a"]])
def test_the_best_path_is_that_of_all(words: list[str]) -> None:
    for seed in range(3):
        scores = np.random.default_rng(seed).normal(size=(5, 3)).astype(np.float32)
        known, best = said(words), -math.inf
        for path in itertools.product(range(3), repeat=5):
            total = sum(float(scores[frame, symbol]) for frame, symbol in enumerate(path))
            best = max(best, total - known.get(collapsed(path), math.inf))
        made = ctc_graph(words, LEXICON, PHONES)
        found = best_path(made.graph, scores, made.graph.states)
        assert found is not None
        assert found.score == pytest.approx(best, abs=1e-5)
        path = tuple(made.graph.states[found.states].tolist())
        spans = [*made.spans(found.states)]
        assert tuple(phone for phone, *_ in spans) == collapsed(path)
        assert [word for _, word, *_ in spans] == sorted(word for _, word, *_ in spans)
        assert {word for _, word, *_ in spans} == {*range(len(words))}


def test_too_few_frames_have_no_path() -> None:
    made = ctc_graph(["aa"], LEXICON, PHONES)
    assert best_path(made.graph, np.zeros((2, 3), np.float32), made.graph.states) is None


def test_what_can_not_be_said_is_named() -> None:
    with pytest.raises(UserError, match="there is no pronunciation of 'b'"):
        ctc_graph(["b"], LEXICON, PHONES)
    with pytest.raises(UserError, match="phones that the model lacks: B"):
        ctc_graph(["ab"], LEXICON, {"A": 0})
