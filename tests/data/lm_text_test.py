"""Texts of any origin become sentences that look like transcripts."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest

from asrkit.data.lm_text import capital_words, latin_words, write_sentences
from asrkit.errors import UserError


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("It’s a café—well-known, isn't it?", "IT'S A CAFE WELL KNOWN ISN'T IT"),
        ("'Twas the boys' ' turn", "'TWAS THE BOYS' TURN"),
        ("_Emphasis_ (here)!\n", "EMPHASIS HERE"),
        ("...", ""),
        ("in 1914", None),
        ("das Große", None),
        ("война и мир", None),
    ],
)
def test_lines_become_words_in_capitals(line: str, expected: str | None) -> None:
    assert capital_words(line) == expected


def test_joiners_stay_in_words() -> None:
    assert latin_words("uh-huh, th- - it's", joiners="'-") == "uh-huh th- it's"


def test_files_of_all_kinds_are_joined_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One two.\n\nIn 1914.\n")
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"three\n"))
    (tmp_path / "c.xz").write_bytes(lzma.compress(b"Four!"))
    files = [tmp_path / name for name in ("a.txt", "b.gz", "c.xz")]
    out = tmp_path / "text" / "all.txt.gz"
    report = write_sentences(files, out, capital_words)
    assert gzip.decompress(out.read_bytes()) == b"ONE TWO\nTHREE\nFOUR\n"
    assert (report.sentences, report.words, report.left_out) == (3, 4, 2)
    assert str(report).endswith("2 lines left out, such as 'In 1914.'")
    assert [path.name for path in out.parent.iterdir()] == ["all.txt.gz"]


def test_missing_and_useless_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no text file .*none.txt"):
        write_sentences([tmp_path / "none.txt"], tmp_path / "x.gz", capital_words)
    (tmp_path / "digits.txt").write_text("1\n2\n")
    with pytest.raises(UserError, match=r"no sentence of .*digits.txt"):
        write_sentences([tmp_path / "digits.txt"], tmp_path / "x.gz", capital_words)
    assert not list(tmp_path.glob("x.gz*"))
