"""Lines that go to a file are whole, and steer no terminal."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from asrkit.terminal import complain, console, log_to_stderr, say, table

LONG = "a name " * 60


def test_lines_are_not_folded_where_there_is_no_terminal(tmp_path: Path) -> None:
    code = (
        "import logging; from rich.table import Table; from asrkit.terminal import *;"
        f"log_to_stderr(); logging.warning({LONG!r} + 'end'); complain({LONG!r} + 'end');"
        f"table = Table('x'); table.add_row({LONG!r} + 'end'); console().print(table)"
    )
    with (tmp_path / "log").open("w") as log:
        subprocess.run([sys.executable, "-c", code], stderr=log, check=True)
    lines = (tmp_path / "log").read_text(encoding="utf-8").split("\n")
    assert sum(LONG + "end" in line for line in lines) == 3
    assert max(map(len, lines)) < 2 * len(LONG)


def test_control_characters_of_names_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    try:
        log_to_stderr()
        logging.getLogger("some").warning("%s can't be read", "a\x1b[2Jb [red]")
    finally:
        root.handlers = before
    complain("c\x1b[2Jd [red]")
    said = capsys.readouterr().err
    assert "\x1b[2J" not in said
    assert "a\\x1b[2Jb [red] can't be read" in said
    assert "c\\x1b[2Jd [red]" in said


def test_a_terminal_keeps_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "70")
    assert console().width == 70


def test_answers_and_tables_show_names_as_they_are_but_for_control_characters(
    capfd: pytest.CaptureFixture[str],
) -> None:
    name = "[bold red]u1[/] \x1b[31m \r\a\u202e"
    shown = r"[bold red]u1[/] \x1b[31m \x0d\x07\u202e"
    say(f"{name}\nsecond")
    table(name, ["what", name], [(name, "[/]"), ("b", "[link=x]")], bold=1)
    complain(f"{name}: {'9' * 9000}")
    out, err = capfd.readouterr()
    assert out == f"{shown}\nsecond\n"
    assert err.count(shown) == 4
    assert "[/] " in err
    assert "[link=x]" in err
    assert len(err) < 5000
    assert not set(out + err) & {"\x1b", "\r", "\a", "\u202e"}
