"""Two CTM files compared by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrkit.errors import UserError
from asrkit.scoring.word_times import compare_word_times

FIRST = """a 1 0.000 0.300 the
a 1 0.300 0.200 cat
a 1 0.600 0.200 sat
b 1 1.000 0.500 so
d 1 0.000 0.100 x
"""
SECOND = """a 1 0.510 0.300 sat
a 1 0.000 0.350 the
a 1 0.350 0.160 hat
b 1 1.000 0.580 so
c 1 0.000 0.100 y
"""


def files(folder: Path, first: str, second: str) -> tuple[Path, Path]:
    (folder / "first.ctm").write_text(first)
    (folder / "second.ctm").write_text(second)
    return folder / "first.ctm", folder / "second.ctm"


def test_boundaries_of_words_that_both_have_are_compared(tmp_path: Path) -> None:
    found = compare_word_times(*files(tmp_path, FIRST, SECOND))
    assert (found.words, found.other_words, found.recordings) == (3, (2, 2), 2)
    assert found.lacking == (["d"], ["c"])
    # the: 0 and +50 ms (which is within); sat: -90 and +10 ms; so: 0 and +80 ms.
    assert found.words_within == pytest.approx(1 / 3)
    assert found.all.boundaries == 6
    assert found.all.within == pytest.approx(4 / 6)
    assert (found.begins.within, found.ends.within) == pytest.approx((2 / 3, 2 / 3))
    assert found.begins.mean == pytest.approx(-0.03)
    assert found.ends.mean == pytest.approx(0.14 / 3)
    assert found.all.quantiles["100 %"] == pytest.approx(0.09)
    assert found.begins.quantiles["50 %"] == pytest.approx(0.0)
    lines = found.lines()
    assert lines[0].startswith("3 words of 2 recordings are in both files; without partner: 2")
    assert lines[1:3] == ["only in the first: 1: d", "only in the second: 1: c"]
    assert lines[3] == "words (50 ms): 33.33 % within, begin and end"
    assert "boundaries (50 ms): 66.67 % of 6 within" in lines[4]
    assert compare_word_times(*files(tmp_path, FIRST, SECOND), seconds=0.1).all.within == 1.0


def test_equal_files_agree(tmp_path: Path) -> None:
    found = compare_word_times(*files(tmp_path, FIRST, FIRST), seconds=0.0)
    assert (found.words, found.all.within, found.all.mean) == (5, 1.0, 0.0)
    assert found.lines()[2].startswith("boundaries")


def test_files_that_share_no_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="have no word of the same recording in common"):
        compare_word_times(*files(tmp_path, FIRST, "z 1 0 1 the\n"))
    with pytest.raises(UserError, match="missing"):
        compare_word_times(tmp_path / "none.ctm", tmp_path / "first.ctm")
