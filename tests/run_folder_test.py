"""Places in run and data folders are named in one module each, for Python and for the shell."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from asrkit.run_folder import DecodedSet, RunFolder

ROOT = Path(__file__).parents[1]
PYTHON = sorted([*(ROOT / "asrkit").rglob("*.py"), *(ROOT / "tools").rglob("*.py")])
SHELL = sorted([*(ROOT / "tools").glob("*.sh"), *(ROOT / "recipes").glob("*/run.sh")])
ALLOWED = {"asrkit/run_folder.py", "asrkit/data_folder.py"}
OWN = "asrkit/hmm/"
"""Folders of Gaussian mixtures are no run folders."""


def names_in(kind: type, path: Path) -> Iterator[str]:
    """Yields what the places without parameters are called."""
    for value in vars(kind).values():
        if isinstance(value, property):
            found = value.fget(kind(path)) if value.fget else None
            if isinstance(found, Path) and found.suffix:
                yield found.name


NAMES = {*names_in(RunFolder, Path("run")), *names_in(DecodedSet, Path("run"))}
# NIST's program calls its own files like those.
PATTERN = re.compile("|".join(map(re.escape, sorted(NAMES - {"hypotheses.ctm", "hypotheses.trn"}))))


def texts(path: Path) -> Iterator[str]:
    """Yields the strings of a module that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value


def test_names_are_found() -> None:
    assert {"resolved.yaml", "index.json", "average.pt", "nbest.jsonl", "score.json"} <= NAMES


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_module_of_places_knows_names_of_files(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    if name not in ALLOWED and not name.startswith(OWN):
        assert not [text for text in texts(path) if PATTERN.search(text)]


@pytest.mark.parametrize("path", SHELL, ids=lambda path: path.parent.name + "-" + path.name)
def test_the_shell_knows_no_names_of_files(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    other = re.compile(r"manifests/|/checkpoints|bpe\.model|\.ya?ml\b.*\bsed\b|extends")
    assert not [line for line in lines if PATTERN.search(line) or other.search(line)]
