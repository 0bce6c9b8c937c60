from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.scoring.edits import Errors, count_errors
from asrkit.scoring.nist.word_graph import agrees_in_part, align, errors_of, line_of, parse


def errors(reference: str, found: str) -> Errors:
    pairs = align(parse(reference), parse(found), agrees_in_part)
    return errors_of(pairs, agrees_in_part)


@pytest.mark.parametrize(
    ("reference", "found", "expected"),
    [
        ("a b c", "a b c", Errors(0, 0, 0, 3)),
        ("a b c", "a x c d", Errors(1, 0, 1, 3)),
        ("a b c", "", Errors(0, 3, 0, 3)),
        ("", "a", Errors(0, 0, 1, 0)),
        ("i've { um / uh / @ } said", "i've uh said", Errors(0, 0, 0, 3)),
        ("i've { um / uh / @ } said", "i've said", Errors(0, 0, 0, 2)),
        # An insertion beside @ (3) is cheaper than a substitution (4).
        ("i've { um / uh / @ } said", "i've er said", Errors(0, 0, 1, 2)),
        ("i've { um / uh } said", "i've er said", Errors(1, 0, 0, 3)),
        ("{ gonna / going to } go", "going to go", Errors(0, 0, 0, 3)),
        ("going to go", "{ gonna / going to } go", Errors(0, 0, 0, 3)),
        ("{ a { b / c } / d } e", "a c e", Errors(0, 0, 0, 3)),
        ("{ a { b / c } / d } e", "d e", Errors(0, 0, 0, 2)),
        ("{ @ / a / b } { @ / c } d", "b d", Errors(0, 0, 0, 2)),
        ("so (uh) yes", "so yes", Errors(0, 0, 0, 3)),
        ("so (uh) yes", "so uh yes", Errors(0, 0, 0, 3)),
        ("so (uh) yes", "so no yes", Errors(1, 0, 0, 3)),
        ("(uh)", "", Errors(0, 0, 0, 1)),
        ("yes", "uh yes", Errors(0, 0, 1, 1)),
        ("(wor-) yes", "word yes", Errors(0, 0, 0, 2)),
        ("wor- yes", "yes", Errors(0, 1, 0, 2)),
        ("-ord yes", "word yes", Errors(0, 0, 0, 2)),
        ("-ord yes", "order yes", Errors(1, 0, 0, 2)),
        # Six gaps (18) are cheaper than five substitutions (20) and more.
        ("x x x a a b b c d", "a a b b c d y y y", Errors(0, 3, 3, 9)),
        ("p a b c", "a b c q", Errors(0, 1, 1, 4)),
    ],
)
def test_errors_by_hand(reference: str, found: str, expected: Errors) -> None:
    assert errors(reference, found) == expected


@settings(deadline=None)  # a busy machine is no error
@given(*[st.lists(st.sampled_from("abc"), max_size=6)] * 2)
def test_plain_texts_have_about_the_errors_of_the_edit_distance(a: list[str], b: list[str]) -> None:
    ours, fewest = errors(" ".join(a), " ".join(b)), count_errors(a, b)
    cost = 4 * ours.substitutions + 3 * (ours.deletions + ours.insertions)
    assert cost <= 4 * fewest.substitutions + 3 * (fewest.deletions + fewest.insertions)
    assert ours.total >= fewest.total
    assert ours.insertions - ours.deletions == len(b) - len(a)
    assert ours.words == len(a)


texts = st.lists(st.sampled_from("abc"), max_size=2).map(" ".join)
choices = st.lists(st.lists(texts, min_size=1, max_size=3), max_size=3)


@settings(deadline=None)  # a busy machine is no error
@given(choices, choices)
def test_the_best_of_all_alternatives_is_found(
    one: list[list[str]], other: list[list[str]]
) -> None:
    def written(parts: list[list[str]]) -> str:
        return " ".join("{ " + " / ".join(t or "@" for t in part) + " }" for part in parts)

    def cost(e: Errors) -> int:
        return 4 * e.substitutions + 3 * (e.deletions + e.insertions)

    every = [
        cost(errors(" ".join(a), " ".join(b)))
        for a in itertools.product(*one)
        for b in itertools.product(*other)
    ]
    assert cost(errors(written(one), written(other))) == min(every)


def test_partial_words_agree_as_far_as_they_are_written() -> None:
    assert agrees_in_part("wor-", "word")
    assert agrees_in_part("word", "wor-")
    assert not agrees_in_part("wor-", "wo")
    assert agrees_in_part("-ord", "word")
    assert not agrees_in_part("-", "word")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a { b / c", "'{' without '}'"),
        ("{ a / { b }", "'{' without '}'"),
        ("a } b", "'}' without '{'"),
        ("a { b / } c", "an alternative is empty: write @"),
        ("{ }", "an alternative is empty: write @"),
    ],
)
def test_bad_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


def test_partial_words_are_words_of_their_own_unless_a_part_says_otherwise() -> None:
    pairs = align(parse("wor- yes"), line_of(["word", "yes"]))
    assert errors_of(pairs) == Errors(1, 0, 0, 2)
    assert errors_of(pairs, agrees_in_part) == Errors(0, 0, 0, 2)


def test_braces_of_a_single_text_are_words() -> None:
    assert [str(arc.token) for arc in line_of(["{", "a", "(b)"]).arcs[1:]] == ["{", "a", "(b)"]
