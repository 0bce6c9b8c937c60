"""A results file keeps its other runs, whether their folders are there or not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from asrkit.reports.results_file import read_results
from tests.reports.results_test import make_run
from tools.results_table import main

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "recipes").glob("*/RESULTS.md"))


def write(out: Path, *words: str | Path) -> Result:
    return CliRunner().invoke(main, ["--out", str(out), *map(str, words)])


def sections(out: Path) -> list[str]:
    return [line for line in out.read_text().splitlines() if line.startswith("## ")]


def make(folder: Path) -> Path:
    return make_run(folder, "ONE TOO", "seed: 1\nparent: null\n")


def test_runs_of_the_file_stay_word_by_word(tmp_path: Path) -> None:
    runs = [make(tmp_path / name) for name in ("a", "b", "c")]
    out = tmp_path / "RESULTS.md"
    assert write(out, "--keep", runs[1]).exit_code == 0
    assert write(out, "--keep", runs[0]).exit_code == 0
    assert sections(out) == ["## b", "## a"]
    before = read_results(out)
    for run in runs[:2]:
        shutil.rmtree(run)
    done = write(out, "--keep", runs[2])
    assert sections(out) == ["## b", "## a", "## c"]
    assert "b, a: kept unchanged" in done.output
    assert read_results(out).without(["c"]) == before
    again = out.read_text()
    assert write(out, "--keep").exit_code == 0
    assert out.read_text() == again


def test_a_run_takes_the_place_of_one_of_its_name_and_says_so(tmp_path: Path) -> None:
    out = tmp_path / "RESULTS.md"
    write(out, make(tmp_path / "a"), make(tmp_path / "b"))
    elsewhere = make(tmp_path / "elsewhere" / "a")
    (elsewhere / "commands.txt").write_text("asrkit train other.yaml\n")
    done = write(out, "--keep", elsewhere)
    assert "a: replaces 1 rows of that name (revision abc)" in done.output
    assert sections(out) == ["## a", "## b"]
    assert out.read_text().count("asrkit train other.yaml") == 1


def test_runs_that_are_not_kept_are_named(tmp_path: Path) -> None:
    out = tmp_path / "RESULTS.md"
    write(out, make(tmp_path / "a"), make(tmp_path / "b"))
    done = write(out, tmp_path / "b")
    assert sections(out) == ["## b"]
    assert "a: no longer in the file, because --keep was not given" in done.output


def test_other_files_and_double_names_are_refused(tmp_path: Path) -> None:
    run, other = make(tmp_path / "a"), make(tmp_path / "more" / "a")
    notes = tmp_path / "notes.md"
    notes.write_text("# My notes\n")
    done = write(notes, run)
    assert done.exit_code == 1
    assert "does not begin with '# Results'" in done.output
    assert notes.read_text() == "# My notes\n"
    assert "two runs are called 'a'" in write(tmp_path / "RESULTS.md", run, other).output
    assert "give run folders, or --keep" in write(tmp_path / "RESULTS.md").output


def test_rows_of_a_version_with_other_columns_stay(tmp_path: Path) -> None:
    out = tmp_path / "RESULTS.md"
    out.write_text(
        "# Results\n\nWords.\n\n| run | set | WER | mood |\n| --- | --- | --- | --- |\n"
        "| old | dev | 1.00 | good |\n\n## old\n\n```\n## no run\n```\n"
    )
    done = write(out, "--keep", make(tmp_path / "a"))
    rows = read_results(out).rows
    assert done.exit_code == 0
    assert list(rows) == ["old", "a"]
    assert (rows["old"][0]["mood"], rows["old"][0]["CER"]) == ("good", "–")
    assert rows["a"][0]["mood"] == "–"
    assert read_results(out).sections["old"] == "## old\n\n```\n## no run\n```\n"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_shipped_results_survive_another_run(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "RESULTS.md"
    shutil.copyfile(path, out)
    assert write(out, "--keep").exit_code == 0
    assert out.read_text() == path.read_text(), "written by another version of the tool"
    before = read_results(out)
    assert len(before.rows) > 1
    assert set(before.rows) <= set(before.sections)
    write(out, "--keep", make(tmp_path / "new"))
    assert read_results(out).without(["new"]) == before
    for words in (path.parent / "results").glob("*.md"):
        assert words.read_text() in before.sections[words.stem]


@pytest.mark.parametrize(
    ("run", "data", "written"),
    [
        ("run/x", "data", "RESULTS.md"),
        ("toy/run/x", "toy/data", "toy/RESULTS.md"),
        ("../elsewhere/x", "data", "../elsewhere/RESULTS.md"),
        ("run/x", "/scratch/data", "run/RESULTS.md"),
    ],
)
def test_a_run_elsewhere_has_its_own_results(
    tmp_path: Path, run: str, data: str, written: str
) -> None:
    recipe = tmp_path / "recipes" / "an4"
    recipe.mkdir(parents=True)
    program = tmp_path / "bin" / "python"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    given = "toy/RESULTS.md" if run.startswith("toy") else "RESULTS.md"
    script = f"""
        PATH={program.parent}:$PATH
        source {ROOT}/tools/stages.sh
        run={run} data={data} results={given}
        show_results 8
    """
    command = ["bash", "-euc", script]
    done = subprocess.run(command, cwd=recipe, capture_output=True, text=True, check=True)
    assert f"--out {written} -- {run}" in done.stdout
