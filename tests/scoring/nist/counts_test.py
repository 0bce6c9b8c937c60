"""Our own counts follow sclite's rules; the numbers here are those that sclite 2.10 gives."""

from __future__ import annotations

import random
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.data.stm import Segment
from asrkit.scoring.edits import Errors, count_errors
from asrkit.scoring.nist.counts import align, in_order, in_time, overlaps, words_of_segments
from asrkit.scoring.nist.ctm import CtmWord
from asrkit.scoring.nist.sclite import installed_sclite

texts = st.lists(st.sampled_from("abcd"), max_size=7).map(" ".join)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors"),
    [
        ("THE (uh) cat { sat / sits / @ } DOWN", "the Cat down", (0, 0, 0, 4)),
        ("the (uh) cat", "the uh cat", (0, 0, 0, 3)),
        ("the (uh) cat", "the um cat", (1, 0, 0, 3)),
        ("{ can not / cannot } go", "cannot go", (0, 0, 0, 2)),
        ("{ can not / cannot } go", "can not go", (0, 0, 0, 3)),
        ("{ can not / cannot } go", "can go", (0, 1, 0, 3)),
        ("{ a / { b / c } d } e", "c d e", (0, 0, 0, 3)),
        ("a* b", "A b", (0, 0, 0, 2)),
        ("(uh) hello wor- world", "gap uh hello world", (0, 1, 1, 4)),
        ("", "a b", (0, 0, 2, 0)),
        ("a b", "", (0, 2, 0, 2)),
        ("(uh)", "", (0, 0, 0, 1)),
        # Ways of equal cost: single precision decides, as with sclite.
        ("c b { c / @ } E c (a) (E) c", "e A d A c B A A", (1, 2, 4, 7)),
        # Three words for three others: three substitutions, as with plain edit distance.
        ("a b c", "d e f", (3, 0, 0, 3)),
        # Edit distance 5; but keeping b c d right costs 6 · 3, five substitutions 5 · 4.
        ("a a a b c", "b c d d d", (0, 3, 3, 5)),
    ],
)
def test_counts_by_hand(reference: str, hypothesis: str, errors: tuple[int, int, int, int]) -> None:
    assert align(reference, hypothesis).errors == Errors(*errors)


def test_alignments_show_what_was_counted() -> None:
    pairs = align("THE (uh) cat { sat / sits / @ } down", "a cat sits up down").words
    assert [(a or "*", b or "*") for a, b, _ in pairs] == [
        ("the", "a"),
        ("(uh)", "*"),
        ("cat", "cat"),
        ("sits", "sits"),
        ("*", "up"),
        ("down", "down"),
    ]
    kinds = ["substitution", "correct", "correct", "correct", "insertion", "correct"]
    assert [kind for _, _, kind in pairs] == kinds


@settings(deadline=None)  # a busy machine is no error
@given(texts, texts)
def test_plain_texts_get_the_cheapest_weighted_alignment(a: str, b: str) -> None:
    errors = align(a, b).errors
    plain = count_errors(a.split(), b.split())
    assert errors.words == plain.words
    assert errors.insertions - errors.deletions == plain.insertions - plain.deletions
    assert plain.total <= errors.total
    assert cost(errors) <= cost(plain)
    assert cost(errors) == cheapest(tuple(a.split()), tuple(b.split()))


def cost(errors: Errors) -> int:
    return 4 * errors.substitutions + 3 * (errors.deletions + errors.insertions)


def cheapest(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    row = [3 * j for j in range(len(b) + 1)]
    for i, word in enumerate(a):
        new = [3 * (i + 1)]
        for j, other in enumerate(b):
            new.append(min(row[j] + 4 * (word != other), row[j + 1] + 3, new[j] + 3))
        row = new
    return row[-1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(texts.filter(bool), min_size=1, max_size=3), max_size=3), texts)
def test_alternatives_give_the_best_of_all_plain_references(
    groups: list[list[str]], hypothesis: str
) -> None:
    reference = " ".join("{ " + " / ".join(group) + " }" for group in groups)
    choices = (" ".join(choice) for choice in product(*groups))
    assert cost(align(reference, hypothesis).errors) == min(
        cost(align(choice, hypothesis).errors) for choice in choices
    )


def segments(*spans: tuple[float, float]) -> list[Segment]:
    return [Segment("r", "1", "s", *span, "a", ()) for span in spans]


def test_words_belong_to_segments_by_their_middle() -> None:
    parts = segments((1.0, 2.0), (3.0, 4.0), (4.0, 5.0))
    times = {"early": 0.2, "first": 1.9, "gap": 1.97, "edge": 3.95, "late": 9.0}
    words = [CtmWord("r", "1", start, 0.1, word) for word, start in times.items()]
    words += [CtmWord("r", "2", 1.0, 0.1, "channel"), CtmWord("q", "1", 1.0, 0.1, "recording")]
    assert words_of_segments(parts, words) == ["early first", "gap", "edge late"]


def test_words_of_overlapping_segments_count_in_the_earlier_one() -> None:
    parts = segments((0.0, 4.0), (2.0, 3.0), (3.0, 6.0), (6.0, 7.0))
    own = {"a": 1.0, "b": 3.5, "c": 2.2, "d": 5.0, "e": 6.1}
    words = [CtmWord("r", "1", start, 0.2, word) for word, start in own.items()]
    assert words_of_segments(parts, words) == ["a c b", "", "d", "e"]
    assert overlaps(parts) == parts[1:3]
    assert overlaps([parts[0], parts[3]]) == []
    other = Segment("r", "2", "s", 1.0, 2.0, "a")
    assert overlaps([parts[0], other]) == [], "channels are heard by themselves"


def test_words_come_by_time_as_a_ctm_file_tells_it() -> None:
    parts = [Segment(r, "1", "s", 0.0, 1.0, "") for r in ("y", "x")]
    rows = [("x", 0.5), ("y", 1.0004), ("q", 0.0), ("y", 1.0001), ("y", 0.2)]
    words = [CtmWord(r, "1", start, 0.1, str(start)) for r, start in rows]
    found = [(word.recording, word.word) for word in in_time(parts, words)]
    assert found == [("y", "0.2"), ("y", "1.0004"), ("y", "1.0001"), ("x", "0.5"), ("q", "0.0")]


def test_segments_of_a_channel_come_together_and_in_time() -> None:
    a, b, c = (Segment(r, "1", "s", t, t + 1, "", ()) for r, t in (("x", 5), ("y", 1), ("x", 2)))
    assert in_order([a, b, c]) == [c, a, b]


def random_reference(draw: random.Random, depth: int = 0) -> str:
    words = []
    for _ in range(draw.randrange(depth > 0, 7 - 2 * depth)):
        word, kind = draw.choice("abcdE"), draw.random()
        if kind < 0.12 and depth < 2:
            inner = [random_reference(draw, depth + 1) for _ in range(draw.randrange(1, 4))]
            word = "{ " + " / ".join(draw.choice([text, text, "@"]) for text in inner) + " }"
        elif kind < 0.22:
            word = f"({word})"
        words.append(word)
    return " ".join(words)


def test_sclite_counts_the_same() -> None:
    sclite = installed_sclite()
    if sclite is None:
        pytest.skip("sclite (SCTK) is not installed: its counts can't be compared with ours")
    draw = random.Random(1)
    parts, words = [], []
    for number in range(600):
        start = 2.0 * (number % 40) + draw.choice([0.0, 0.3])
        ignored = draw.random() < 0.1
        text = "Ignore_time_segment_in_scoring" if ignored else random_reference(draw)
        recording, speaker = f"r{number // 40}", f"S{draw.randrange(5)}"
        parts.append(Segment(recording, "1", speaker, start, start + draw.choice([1, 2]), text))
        many = draw.randrange(8)
        words += [
            CtmWord(recording, "1", start - 0.3 + 2.4 * n / many, 0.05, draw.choice("ABcdé"))
            for n in range(many)
        ]
    parts = in_order(parts)
    words.sort(key=lambda word: (int(word.recording[1:]), word.start))
    found = words_of_segments(parts, words)
    ours = [align(s.text, t).errors for s, t in zip(parts, found, strict=True) if not s.ignored]
    assert ours == sclite(parts, words)


def test_sclite_counts_the_same_where_segments_overlap() -> None:
    sclite = installed_sclite()
    if sclite is None:
        pytest.skip("sclite (SCTK) is not installed: its counts can't be compared with ours")
    draw = random.Random(2)
    parts, words = [], []
    for number in range(60):
        start = 0.0
        for _ in range(6):
            start += draw.choice([0.5, 1.0, 2.0])
            text = " ".join(draw.choice("abcd") for _ in range(draw.randrange(6)))
            speaker, end = f"S{draw.randrange(3)}", start + draw.choice([0.5, 1, 2, 4])
            parts.append(Segment(f"r{number}", "1", speaker, start, end, text))
            words += [
                CtmWord(f"r{number}", "1", start + n / 3, draw.choice([0.05, 0.2, 1.2]), word)
                for n, word in enumerate(text.split())
            ]
    parts = in_order(parts)
    words = in_time(parts, words)
    assert len(overlaps(parts)) > 100
    found = words_of_segments(parts, words)
    ours = [align(s.text, t).errors for s, t in zip(parts, found, strict=True)]
    assert ours == sclite(parts, words)
