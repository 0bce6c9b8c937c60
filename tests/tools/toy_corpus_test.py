"""The toy corpus has the layout that the recipes read, and is the same every time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("layout", ["librispeech", "an4"])
def test_toy_corpora_are_prepared_and_repeatable(tmp_path: Path, layout: str) -> None:
    for name in ("one", "two"):
        made = run(
            ROOT / "tools/make_toy_corpus.py", "--layout", layout, "--out", tmp_path / name,
            "--utterances", 20,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
    one, two = (
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")}
        for n in ("one", "two")
    )
    assert one == two
    corpus = tmp_path / "one" / ("an4" if layout == "an4" else "")
    size = [] if layout == "an4" else ["--size", "mini"]
    prepare = ROOT / "recipes" / layout / "prepare.py"
    found = run(prepare, "download", "--corpus", corpus, *size)
    assert "found" in found.stdout, found.stderr
    made = run(prepare, "manifests", "--corpus", corpus, *size, "--data", tmp_path / "data")
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "data" / "manifests" / "train.jsonl").stat().st_size > 0


@pytest.mark.parametrize("layout", ["librispeech", "an4"])
def test_a_missing_corpus_is_named(tmp_path: Path, layout: str) -> None:
    size = [] if layout == "an4" else ["--size", "mini"]
    options = ["--corpus", tmp_path / "nowhere", *size, "--data", tmp_path / "data"]
    failed = run(ROOT / "recipes" / layout / "prepare.py", "manifests", *options)
    assert failed.returncode == 1
    assert "nowhere" in failed.stderr
    assert "Traceback" not in failed.stderr
