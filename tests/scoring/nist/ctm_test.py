"""CTM and TRN files are written as NIST's tools read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrkit.data.stm import Segment
from asrkit.errors import UserError
from asrkit.run_files import BelievedLine, BelievedWord
from asrkit.scoring.nist.ctm import CtmWord, placed, read_ctm, spread, write_ctm, write_trn

SEGMENT = Segment("talk", "1", "ann", 10.0, 12.0, "one two", ("o",))


def test_words_are_spread_over_their_segment() -> None:
    words = spread(SEGMENT, "a b c d")
    assert [(w.start, w.duration, w.word) for w in words] == [
        (10.0, 0.5, "a"),
        (10.5, 0.5, "b"),
        (11.0, 0.5, "c"),
        (11.5, 0.5, "d"),
    ]
    assert spread(SEGMENT, " ") == []
    empty = Segment("talk", "1", "ann", 10.0, 10.0, "", ())
    assert spread(empty, "") == []
    with pytest.raises(UserError, match="talk-1-00010000-00010000 has no duration"):
        spread(empty, "a")


def test_words_have_the_times_that_are_known() -> None:
    said = [
        BelievedWord("a", 0.1, 0.3, 0.9, 0.8),
        BelievedWord("b", 1.9, 0.3, 0.5, 0.4),  # till after the segment's end, 2 s
    ]
    first, second = placed(SEGMENT, "a b", BelievedLine("x", True, said))
    assert first == CtmWord("talk", "1", 10.1, 0.3, "a", 0.8)
    assert second.start + second.duration == pytest.approx(12.0)
    assert placed(SEGMENT, "a b", None) == spread(SEGMENT, "a b")
    assert placed(SEGMENT, "a c", BelievedLine("x", True, said)) == spread(SEGMENT, "a c")


def test_files_hold_what_was_written(tmp_path: Path) -> None:
    words = [CtmWord("talk", "1", 0.5, 0.25, "one"), CtmWord("talk", "A", 1.0, 0.125, "two", 0.5)]
    write_ctm(tmp_path / "a.ctm", words)
    lines = (tmp_path / "a.ctm").read_text().splitlines()
    assert lines == ["talk 1 0.500 0.250 one", "talk A 1.000 0.125 two 0.5000"]
    (tmp_path / "a.ctm").write_text("\n".join([";; comment", "", *lines]))
    assert list(read_ctm(tmp_path / "a.ctm")) == words
    write_trn(tmp_path / "a.trn", [("u1", "one two"), ("u2", "")])
    assert (tmp_path / "a.trn").read_text() == "one two (u1)\n(u2)\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.ctm", "a.trn"]


@pytest.mark.parametrize(
    "line",
    [
        "talk 1 0.5 0.25",
        "talk 1 now 0.25 one",
        "talk 1 0.5 -1 one",
        "talk 1 nan 0.25 one",
        "talk 1 0.5 0.25 one two",
        "talk 1 0.5 0.25 one 0.5 lex",
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.ctm").write_text(f"talk 1 0.5 0.25 one\n{line}\n")
    with pytest.raises(UserError, match=r"a.ctm:2: expected `recording channel start duration"):
        list(read_ctm(tmp_path / "a.ctm"))
    with pytest.raises(UserError, match=r"none.ctm is missing"):
        list(read_ctm(tmp_path / "none.ctm"))
