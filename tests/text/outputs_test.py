"""Tests of the symbols of outputs."""

from __future__ import annotations

import pytest

from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary(["a", "b"])


def test_special_symbols_come_after_the_labels() -> None:
    blank = Outputs.labels_with_blank(VOCABULARY)
    assert (len(blank), blank.num_labels, blank.blank) == (3, 2, 2)
    ended = Outputs.labels_with_eos(VOCABULARY)
    assert (len(ended), ended.eos, ended.bos) == (3, 2, 2)
    both = Outputs.labels_with_eos_and_blank(VOCABULARY)
    assert (len(both), both.eos, both.blank) == (4, 2, 3)
    ngrams = Outputs.labels_with_eos_and_bos(VOCABULARY)
    assert (len(ngrams), ngrams.eos, ngrams.bos) == (4, 2, 3)
    assert ngrams.names == ("a", "b", "</s>", "<s>")
    assert blank != ended
    assert blank == Outputs.labels_with_blank(Vocabulary(["a", "b"]))


def test_classes_are_no_labels_and_have_no_special_symbols() -> None:
    states = Outputs.classes(["s0", "s1", "s2"])
    assert (len(states), states.num_labels) == (3, 0)
    for special in ("blank", "eos", "bos"):
        with pytest.raises(ValueError, match=f"no {special} among 3 classes"):
            getattr(states, special)


def test_outputs_are_told_in_words() -> None:
    assert Outputs.labels_with_eos_and_blank(VOCABULARY).told() == "2 labels and </s> and <blank>"
    assert Outputs.labels_with_eos(VOCABULARY).told() == "2 labels and </s>"
    assert Outputs(("<blank>", "s0"), specials={"blank": 0}).told() == "1 class and <blank>"


def test_ids_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"blank \(1\) must be between 2 and 2"):
        Outputs(("a", "b", "<blank>"), 2, {"blank": 1})
    with pytest.raises(ValueError, match="3 labels among 2 symbols"):
        Outputs(("a", "b"), 3)
