"""The table of models by searches: its cells, its weights, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from asrkit.errors import UserError
from asrkit.reports.models_table import write_models_table
from tests.reports.search_table_test import OPLS, decoded
from tests.reports.search_table_test import run as first

run = first


def test_models_stand_in_rows_and_searches_in_columns(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    shutil.rmtree(other / "decode" / "opls")
    shutil.rmtree(other / "decode" / "opls_lm" / "test")
    for name in ("dev", "test"):
        decoded(other, "opls", name, {**OPLS, "scorers": {"ctc": 1.0}}, "ONE TWO", 0.03)
    text = write_models_table([run, other], "dev", ["test"], ["opls", "opls_lm"], tmp_path / "x.md")
    assert (tmp_path / "x.md").read_text() == text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "| first | 50.00 (50.00 – 50.00) | 0.00 (0.00 – 0.00) |" in lines
    assert "| other | 0.00 (0.00 – 0.00) | – |" in lines  # not decoded with the second one
    assert "| row | oplslm – opls | P(noise) | P(Holm) |" in [
        line.replace("_", "").replace("&#95;", "") for line in lines
    ]
    assert "| first | -50.00 | 1.0000 | 1.0000 |" in lines
    assert any(line.startswith("| other | ctc 1, length") for line in lines)
    assert "lm 0.45* (lm-lstm)" in text
    assert "# opls_lm" in lines


def test_what_can_not_be_compared_is_refused(run: Path, tmp_path: Path) -> None:
    same = tmp_path / "other" / "first"
    shutil.copytree(run, same)
    with pytest.raises(UserError, match="two runs have the same name"):
        write_models_table([run, same], "dev", ["test"], [], tmp_path / "x.md")
    with pytest.raises(UserError, match="no search of first, other has decoded"):
        write_models_table([run, same.parent], "dev", ["none"], [], tmp_path / "x.md")
