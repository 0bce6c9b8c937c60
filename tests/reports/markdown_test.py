"""Names with any characters survive tables, headings and lists of commands."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkit.reports import markdown
from asrkit.reports.commands import option_of, read_commands, split_commands
from asrkit.reports.results import write_results
from asrkit.reports.results_file import read_results
from tests.reports.results_test import make_run

NAMES = ["a b", "# no heading", "a|b", "line\nend", 'it\'s "it"', "`x`", "a  b ", "<b>&amp;", "1."]
names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12)


@given(names)
def test_names_can_be_read_back(name: str) -> None:
    shown = markdown.escaped(name)
    assert len(shown.splitlines()) <= 1
    assert markdown.unescaped(shown) == name
    assert markdown.cells_of(f"| {shown} | b |") == [shown, "b"]


@pytest.mark.parametrize("name", ["rna_all", "960h", "a-b.c", "960h.v2", "x=1"])
def test_usual_names_stay_as_they_are(name: str) -> None:
    assert markdown.escaped(name) == name


@pytest.mark.parametrize("name", NAMES)
def test_runs_of_any_name_stay_in_the_results(name: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run" / name, "ONE TOO", "seed: 1\nparent: null\n")
    (run / "curves.png").write_bytes(b"a picture")
    command = shlex.join(["asrkit", "train", "x.yaml", "--run", f"run/{name}"])
    (run / "commands.txt").write_text(command + "\nasrkit average\n")
    out = tmp_path / "RESULTS.md"
    write_results([run], out)
    found = read_results(out)
    assert list(found.rows) == [name]
    assert list(found.sections) == [name]
    assert command in out.read_text()
    before = out.read_text()
    write_results([], out, found)
    assert out.read_text() == before
    assert (tmp_path / "results" / f"{name}.png").is_file()


def test_links_to_pictures_have_no_spaces() -> None:
    assert markdown.picture("of a b", "results/a b#1.png") == "![of a b](results/a%20b%231.png)\n"


def test_blocks_of_code_have_longer_fences_than_what_they_hold() -> None:
    text = "a\n```\n## b\n````\nc"
    lines = list(markdown.outside_blocks(markdown.fenced(text).splitlines()))
    assert lines[0] == ("`````", False)
    assert not any(is_outside for _, is_outside in lines)
    assert next(iter(markdown.outside_blocks(["## a"])))[1]


def test_commands_are_read_as_a_shell_reads_them(tmp_path: Path) -> None:
    given = ["asrkit train --run 'a b'", "asrkit train --run 'a\nb'", "asrkit score --search=joint"]
    path = tmp_path / "commands.txt"
    path.write_text("".join(command + "\n" for command in given))
    assert read_commands(path) == given
    assert [option_of(command, "--run") for command in given] == ["a b", "a\nb", None]
    assert option_of(given[2], "--search") == "joint"
    cut_off = ["asrkit a", "asrkit 'b", "asrkit c"]
    assert split_commands(cut_off) == cut_off
    assert read_commands(tmp_path / "none.txt") == []
