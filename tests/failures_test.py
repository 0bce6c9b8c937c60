from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from asrkit import experiment
from asrkit.cli import main


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("CUDA error: an illegal memory access\nhints"), "the GPU failed: CUDA error"),
        (MemoryError(), "memory is short"),
        (OSError(28, "No space left on device", "x"), "x: No space left on device"),
    ],
)
def test_a_machine_that_fails_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(experiment, "train", fail)
    words = ["train", "x.yaml", "--data", str(tmp_path), "--run", str(tmp_path / "run")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert f"asrkit: {told}" in done.output
    assert "Traceback" not in done.output
    debug = CliRunner().invoke(main, ["--debug", *words])
    assert debug.exception is error


def test_a_mistake_of_the_program_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(experiment, "train", fail)
    words = ["train", "x.yaml", "--data", str(tmp_path), "--run", str(tmp_path / "run")]
    assert isinstance(CliRunner().invoke(main, words).exception, RuntimeError)
