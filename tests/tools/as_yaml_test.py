"""Paths reach specs through the command line as they are, whatever they mean in YAML."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from asrkit.config.yaml_loader import load

STAGES = Path(__file__).parents[2] / "tools" / "standard_stages.sh"


def as_yaml(text: str) -> str:
    command = 'source <(sed -n "/^as_yaml()/,/^}/p" "$1"); as_yaml "$2"'
    done = subprocess.run(
        ["bash", "-c", command, "-", STAGES, text], capture_output=True, text=True, check=True
    )
    return done.stdout.removesuffix("\n")


@pytest.mark.parametrize(
    "path",
    [
        "lm-lstm.txt.gz", "run/second", "../a-b/c", "2024", "1e3", ".inf", ".5", "true", "null",
        "a # b/c", "a: b/c", "it's/x", "''", "[a, b]/c", "{a}", "*a/b", "&a/b", "a&b", "- a", "~",
        'a"b/c', "a\\nb/c", " a/b ", "!x/y", "%x/y", "@x/y", "|", ">x/y", "a,b.txt.gz", "ü/x",
    ],
)  # fmt: skip
def test_a_path_is_itself_in_yaml(tmp_path: Path, path: str) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("data: {files: []}\nimports: [{run: x}]\n")
    word = as_yaml(path)
    tree = load(spec, [f"data.files=[{word}]", f"imports[0].run={word}"]).tree
    assert tree == {"data": {"files": [path]}, "imports": [{"run": path}]}


def test_plain_paths_stay_readable() -> None:
    for path in ("lm-lstm.txt.gz", "run/second", "/data/x_1.0/run"):
        assert as_yaml(path) == path
