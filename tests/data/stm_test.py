"""STM files are read as NIST defines them, and what is wrong is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.data.stm import Segment, format_segment, parse_segment, read_stm, write_stm
from asrkit.errors import UserError

TALK = """;; CATEGORY "0" "" ""
;; LABEL "o" "Overall" "all of it"

Talk_2009 1 Talk_2009 0.00 14.99 <o,,unknown> ignore_time_segment_in_scoring
Talk_2009 1 Ann 14.99 16.924 <F0_M> and  <unk> it 's {NOISE}
Talk_2009 A Bob 17 18.5 no tag here
Talk_2009 A Bob 19 20 <o>
Talk_2009 A Bob 21 22 <o, f0>glued
"""


def test_segments_are_read_with_comments_tags_and_ignored_ones(tmp_path: Path) -> None:
    path = tmp_path / "talk.stm"
    path.write_text(TALK)
    ignored, tagged, plain, silent, glued = read_stm(path)
    assert ignored.ignored
    assert ignored.labels == ("o", "", "unknown")
    assert tagged == Segment(
        "Talk_2009", "1", "Ann", 14.99, 16.924, "and <unk> it 's {NOISE}", ("F0_M",)
    )
    assert tagged.id == "Talk_2009-1-00014990-00016924"
    assert not tagged.ignored
    assert (plain.channel, plain.text, plain.labels) == ("A", "no tag here", ())
    assert silent.text == ""
    assert (glued.labels, glued.text) == (("o", " f0"), "glued")
    write_stm(tmp_path / "copy.stm", [ignored, tagged, plain, silent, glued], ['LABEL "o" "" ""'])
    assert list(read_stm(tmp_path / "copy.stm")) == [ignored, tagged, plain, silent, glued]
    assert (tmp_path / "copy.stm").read_text().startswith(';; LABEL "o"')


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Talk 1 Ann 14.99", "expected `recording channel speaker start end"),
        ("Talk 1 Ann one 2.0 <o> hello", "expected seconds from the start.*got 'one'"),
        ("Talk 1 Ann -1 2.0 <o> hello", "expected seconds from the start.*got '-1'"),
        ("Talk 1 Ann 1.0 nan <o> hello", "expected seconds from the start.*got 'nan'"),
        ("Talk 1 Ann 2.0 1.0 <o> hello", "ends at 1.0 s, before its start at 2.0 s"),
        ("Talk 1 Ann 1.0 2.0 <o hello", "the category tag '<o' has no closing"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "bad.stm"
    path.write_text(f";; first\n{line}\n")
    with pytest.raises(UserError, match=f"bad.stm:2: .*{message}"):
        list(read_stm(path))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.stm is missing"):
        list(read_stm(tmp_path / "none.stm"))
    (tmp_path / "latin.stm").write_bytes(b"a 1 b 0 1 <o> ok\na 1 b 0 1 <o> caf\xe9\n")
    with pytest.raises(UserError, match=r"latin.stm:2: can't be read as UTF-8 text"):
        list(read_stm(tmp_path / "latin.stm"))


@settings(deadline=None)
@given(start=st.floats(0, 1e4), length=st.floats(0, 1e3), text=st.sampled_from(["", "a b"]))
def test_times_survive_exactly(start: float, length: float, text: str) -> None:
    segment = Segment("talk", "1", "ann", start, start + length, text, ("o",))
    assert parse_segment(format_segment(segment)) == segment
