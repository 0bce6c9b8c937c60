"""A results file keeps its other runs, as long as their folders are there."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from tests.scoring.results_test import make_run
from tools.results_table import main


def sections(out: Path) -> list[str]:
    return [line for line in out.read_text().splitlines() if line.startswith("## ")]


def test_runs_of_the_file_stay_if_they_are_kept(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / name, "ONE TOO", "seed: 1\nparent: null\n") for name in ("a", "b", "c")
    ]
    out = tmp_path / "RESULTS.md"
    said: list[str] = []

    def write(*words: str | Path) -> list[str]:
        done = CliRunner().invoke(main, ["--out", str(out), *map(str, words)])
        assert done.exit_code == 0, done.output
        said.append(done.output)
        return sections(out)

    assert write("--keep", runs[1]) == ["## b"]
    assert write("--keep", runs[0]) == ["## b", "## a"]
    assert write("--keep", runs[1]) == ["## b", "## a"]
    (runs[0] / "decode" / "greedy" / "test" / "score.json").unlink()
    assert write("--keep", runs[2]) == ["## b", "## c"]
    assert "no longer in" in said[-1]
    assert "RESULTS.md: a, which has no scores" in said[-1]
    assert write(runs[2]) == ["## c"]
