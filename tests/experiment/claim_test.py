"""A run's spec says what was trained: a finished run keeps it, and a second training is refused."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from asrkit.errors import UserError
from asrkit.experiment import train
from asrkit.experiment.claim import claim_run, is_finished
from asrkit.experiment.spec import load_spec, resolve_spec
from asrkit.owners import owned
from asrkit.training.checkpoints import CheckpointStore
from tests.training.whole_resume_test import make_data


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def claim(run: Path, *overrides: str) -> bool:
    return claim_run(run, resolve_spec(load_spec(Path("spec.yaml"), overrides))[1])


def finish(run: Path, *devs: float | None) -> CheckpointStore:
    store = CheckpointStore(run / "checkpoints")
    for epoch, dev in enumerate(devs, start=1):
        store.save({"model": {"a": torch.zeros(2)}}, 10 * epoch, epoch, dev)
    return store


def test_a_finished_run_keeps_its_spec_and_says_what_was_not_used(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = folder / "run"
    assert claim(run)
    store = finish(run, 4.0, 3.0, 2.0, 1.0)
    before = (run / "resolved.yaml").read_text()
    with caplog.at_level(logging.INFO):
        assert not claim(run, "training.schedule.peak=0.5", "data.batches.max_seconds=99")
    assert (run / "resolved.yaml").read_text() == before
    assert "nothing is trained" in caplog.text
    assert "training.schedule.peak: 0.003 -> 0.5" in caplog.text
    assert not claim(run, "decoding.other=ctc_greedy")
    assert "other" in (run / "resolved.yaml").read_text(), "another search may decode it"
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert claim(run, "training.epochs=5")
    assert "continues with other values: training.epochs: 4 -> 5" in caplog.text
    assert "epochs: 5" in (run / "resolved.yaml").read_text()
    assert claim(run, "training.epochs=5")
    (store.folder / "step-00000040.pt").write_bytes(b"")
    assert claim(run, "training.epochs=4"), "the last epoch must be trained again"


def test_a_run_that_stopped_early_is_finished(folder: Path) -> None:
    finish(folder / "run", 1.0, 2.0, 3.0)
    assert not is_finished(folder / "run", {"epochs": 9, "early_stopping": 3})
    assert is_finished(folder / "run", {"epochs": 9, "early_stopping": 2})
    finish(folder / "other", 1.0, None)
    assert not is_finished(folder / "other", {"epochs": 2, "early_stopping": None})


def test_a_second_training_is_refused(folder: Path) -> None:
    program = (
        "from pathlib import Path; from asrkit.experiment import train\n"
        "train(Path('spec.yaml'), (), Path('data'), Path('run'))"
    )
    with owned(folder / "run", "a training"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            check=False,
        )
    assert "run is in use: a training by process" in done.stderr
    assert not (folder / "run" / "resolved.yaml").exists()


def test_a_training_gives_its_folder_back_though_it_fails(folder: Path) -> None:
    with pytest.raises(UserError, match="missing"):
        train(Path("spec.yaml"), ["data.train=[missing]"], Path("data"), Path("run"))
    assert not (folder / "run" / "in_use.json").exists()
