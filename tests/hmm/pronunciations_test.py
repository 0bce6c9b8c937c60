"""Probabilities of pronunciations by how often they were heard."""

from __future__ import annotations

import numpy as np
import pytest

from asrkit.hmm.alignments import Alignment
from asrkit.hmm.lexicon import Lexicon, Pronunciation
from asrkit.hmm.pronunciations import learnt, pronunciations_in

LEXICON = Lexicon(
    {
        "a": [Pronunciation(("A",), 0.5), Pronunciation(("E",), 0.25)],
        "b": [Pronunciation(("B",)), Pronunciation(("B", "B"))],
        "c": [Pronunciation(("C",), 0.1)],
    }
)


def probabilities(lexicon: Lexicon, word: str) -> list[float]:
    return [one.probability for one in lexicon[word]]


def test_counts_are_smoothed_by_what_was_known_before() -> None:
    found = learnt(LEXICON, {("a", ("E",)): 3, ("b", ("B",)): 1, ("c", ("C",)): 5})
    assert (found.words, found.heard, found.changed, found.others) == (2, 4, 1, 0)
    assert probabilities(found.lexicon, "a") == pytest.approx([0.5 * 0.5 / 3.25, 0.5])
    assert probabilities(found.lexicon, "b") == pytest.approx([1.0, 0.5])
    assert probabilities(found.lexicon, "c") == [0.1]


def test_other_ways_to_say_a_word_are_counted_and_left_out() -> None:
    found = learnt(LEXICON, {("a", ("X",)): 3, ("z", ("Z",)): 9})
    assert dict(found.lexicon) == dict(LEXICON)
    assert (found.words, found.others) == (0, 3)
    assert "3 words were said in other ways" in found.told()


def test_words_of_an_alignment_have_their_phones_without_silence() -> None:
    names = ["", "SIL", "A", "B"]
    zeros, starts = np.zeros(6, np.int32), np.arange(6, dtype=np.int32)
    phones = np.array([1, 2, 3, 1, 3, 3], np.int32)
    words = np.array([-1, 0, 0, -1, 1, 2], np.int32)
    one = Alignment(zeros, zeros, phones, starts, words)
    found = list(pronunciations_in(one, ["ab", "b", "b"], names))
    assert found == [("ab", ("A", "B")), ("b", ("B",)), ("b", ("B",))]
