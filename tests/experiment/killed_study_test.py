"""A study that is killed in the middle of a training, and run again, reports the same."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from asrkit.experiment.ablation import study as studies
from asrkit.training.checkpoints import read_index
from tests.cli.json_test import folder as made
from tests.experiment.ablation_test import SPEC, VARIANTS, asrkit, in_this_process

ROOT = Path(__file__).parents[2]
WAITING = '''
"""An augmentation that changes nothing, but waits before an update until it may go on."""
import os, time
from pathlib import Path
from torch import Tensor
from asrkit.nn.augment import Augment, augments

@augments.register("waiting")
class Waiting(Augment):
    """Waits.

    Args:
        place: Folder of the files that tell.
    """

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = Path(place)

    def forward(self, features: Tensor, lengths: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Returns what it is given."""
        while step == 3 and not (self.place / "go").exists():
            (self.place / "pid").write_text(str(os.getpid()))
            time.sleep(0.05)
        return features, lengths
'''
folder = made


@pytest.fixture
def place(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data, a variant, and a base whose training waits in its second epoch."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder / "data", "data")
    Path("waiting.py").write_text(WAITING)
    waiting = f"    waiting: {{type: waiting, place: {tmp_path}}}\n"
    spec = SPEC.replace("  augment:\n", "  augment:\n" + waiting)
    spec = spec.replace("training: {", "training: {checkpoints: {save_steps: 1}, ")
    Path("base.yaml").write_text("plugins: [waiting]\n" + spec.replace("4.0", "1.3"))
    Path("wide.yaml").write_text(VARIANTS["wide"])
    return tmp_path


def words_for(out: str) -> list[str]:
    words = f"ablate --json --base base.yaml --variants wide.yaml --data data --out {out}"
    return [*words.split(), *["--set", "dev", "--search", "best", "--epochs", "1,2"]]


def killed(out: str, place: Path) -> None:
    """Runs the study, and kills it with all its processes in the middle of an epoch."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    with Path("said").open("w") as said:
        study = subprocess.Popen(
            [sys.executable, "-m", "asrkit", *words_for(out)],
            env=environment,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    while not (place / "pid").is_file() or not (place / "pid").read_text():
        assert study.poll() is None, Path("said").read_text()
        time.sleep(0.05)
    os.killpg(study.pid, signal.SIGKILL)
    os.kill(int((place / "pid").read_text()), signal.SIGKILL)  # a session of its own
    study.wait()


def numbers_of(out: str) -> Any:
    """Runs the study in this process; returns its numbers, but for the time that it took."""
    done = asrkit(" ".join(words_for(out)))
    assert done.exit_code == 0, done.output
    numbers = json.loads(done.stdout)["numbers"]
    for row in numbers:
        assert len(row.pop("hours")) == 1
    return numbers


def test_a_study_that_is_killed_and_run_again_reports_the_same(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed("killed/study", place)
    entries = read_index(Path("killed/study/base-1/checkpoints"))
    assert max(entry.step for entry in entries) == 3
    assert len(Path("killed/study/base-1/log.jsonl").read_text().splitlines()) == 1
    (place / "go").touch()
    ran: list[str] = []
    monkeypatch.setattr(studies, "run_tasks", in_this_process(ran))
    again, whole = numbers_of("killed/study"), numbers_of("whole/study")
    assert ran == ["base-1", "wide-1"] * 2
    assert again == whole
    assert [len(row["rates"]) for row in again] == [2, 2]
