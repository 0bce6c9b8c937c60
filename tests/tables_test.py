"""Tables take any text in their cells, and give it back."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from asrkit.escapes import escaped, printable, unescaped
from asrkit.tables import read_rows, write_rows

HOSTILE = "a\tb\nc\rd\\e\\t\x1b[31m\x85\u2028\u202e\ufeff\udc80 é"


def test_cells_with_tabs_line_ends_and_other_signs_come_back(tmp_path: Path) -> None:
    rows = [[HOSTILE, "", "x"], ["y", HOSTILE, HOSTILE]]
    write_rows(tmp_path / "table.tsv", rows)
    assert list(read_rows(tmp_path / "table.tsv")) == rows
    written = (tmp_path / "table.tsv").read_bytes()
    assert written.count(b"\n") == 2
    assert written.count(b"\t") == 4
    assert b"\x1b" not in written


@given(st.text(st.characters(exclude_categories=())))
def test_what_is_escaped_is_one_field_and_comes_back(text: str) -> None:
    field = escaped(text)
    assert unescaped(field) == text
    assert len(field.splitlines()) <= 1
    assert "\t" not in field


def test_ordinary_text_stays_as_it_is() -> None:
    assert escaped("1-2-0003 grün ▁x") == "1-2-0003 grün ▁x"
    assert unescaped(r"C:\data\new\x") == "C:\\data\new\\x"  # of a list by an older version


def test_a_terminal_gets_no_control_characters_but_lines_stay() -> None:
    assert (
        printable("one\n\x1b[31mtwo\x07 [bold]\u202e\\") == "one\n\\x1b[31mtwo\\x07 [bold]\\u202e\\"
    )
