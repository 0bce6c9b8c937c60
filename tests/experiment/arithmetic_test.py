"""The arithmetic of a training: what it will be, and what can't work, before it begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from asrkit.cli import main
from asrkit.data.amounts import Amounts
from asrkit.data.manifests import Source, write_manifest
from asrkit.experiment.arithmetic import Arithmetic
from asrkit.training.planning import count_updates, mean_batches
from asrkit.training.schedules import Constant, Cosine, Noam, OneCycle, PiecewiseLinear

PLAN = Arithmetic(
    epochs=20,
    sub_epochs=2,
    accumulate=[(1, 2)],
    amounts=Amounts(batches=11.0, utterances=100.0, labels=600.0, seconds=300.0),
    schedule=Cosine(peak=1e-3, warmup=0.1),
)
SPEC = """
text: characters
data: {train: [train], dev: [], batches: {max_seconds: 1.0, num_buckets: 1}, num_workers: 0}
model:
  features: {type: log_mel, num_mels: 8, normalization: none}
  encoder: {type: blstm, hidden_dim: 4, num_layers: 1, pools: [4], dropout: 0.0}
  heads: {ctc: {type: ctc, weight: 1.0}}
training: {epochs: 10, optimizer: adamw, schedule: {type: cosine, peak: 0.01, warmup: 0.2}}
"""


def asrkit(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_updates_count_the_smaller_last_one_of_an_epoch() -> None:
    assert count_updates(11.0, [(1, 2)], epochs=20) == 20 * 6
    assert count_updates(11.0, [(1, 2), (11, 4)], epochs=20) == 10 * 6 + 10 * 3
    assert count_updates(11.0, [(1, 2)], epochs=20, processes=3) == 20 * 2
    assert mean_batches(lambda epoch: 10 + epoch % 2, epochs=100) == 10.5


def test_the_report_says_what_decides_whether_a_training_can_work() -> None:
    assert PLAN.lines() == [
        "training: 120 updates of 50 s of audio and 100 labels, each utterance 10 times",
        "learning rate: highest, 0.001, after 10.0 % of the training; 0 at the end",
    ]
    assert list(PLAN.problems()) == []
    several = replace(PLAN, processes=2, schedule=Constant(0.5))
    assert several.lines() == [
        "training: 60 updates of 100 s of audio and 200 labels over 2 processes, each "
        "utterance 10 times",
        "learning rate: 0.5 at the start; 0.5 at the end",
    ]


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (replace(PLAN, accumulate=[(1, 12)]), "accumulate: an update is of 12 batches .* has 11"),
        (replace(PLAN, processes=6), "accumulate: an update is of 2 batches of each process"),
        (replace(PLAN, schedule=Noam(1e-3, 200)), "still rises .* its peak is never reached"),
        (replace(PLAN, schedule=Cosine(1e-3, 10, 600)), "planned for 600 updates, .* makes 120"),
        (replace(PLAN, schedule=PiecewiseLinear([(0, 1.0), (900, 0.0)])), "planned for 900"),
    ],
)
def test_what_cant_work_is_refused(plan: Arithmetic, message: str) -> None:
    import re

    assert [bool(re.search(message, str(problem))) for problem in plan.problems()] == [True]


def test_shares_follow_the_training() -> None:
    assert Cosine(1.0, warmup=0.1, floor=0.2).over(100) == Cosine(1.0, 10, 100, 0.2)
    assert Cosine(1.0, 5).over(100) == Cosine(1.0, 5, 100)
    assert Noam(1.0, warmup=0.25).over(8) == Noam(1.0, 2)
    assert OneCycle(1.0).over(50).lr(50, 1) == OneCycle(1.0, 50).lr(50, 1)
    halves = PiecewiseLinear([(0.0, 0.0), (0.5, 1.0), (1.0, 0.0)], by="share").over(10)
    assert [halves.lr(step, 1) for step in (1, 5, 10)] == [0.2, 1.0, 0.0]
    for given in (Cosine(1.0, 5, 100), Noam(1.0, 5), OneCycle(1.0, 9)):
        assert not given.needs_updates, "specs of published studies keep their steps"
        assert given.over(1000) == given


@pytest.mark.parametrize("wrong", [{}, {"warmup": 0.1, "warmup_steps": 3}])
def test_a_warm_up_is_given_once(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="give warmup_steps, or warmup as a share"):
        Noam(1.0, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is a share of the training, from 0 to 1"):
        Cosine(1.0, warmup=20.0)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    sources, random = [], np.random.default_rng(0)
    for index in range(6):
        path = tmp_path / f"u{index}.wav"
        soundfile.write(path, random.integers(-3000, 3000, 8000).astype(np.int16), 16000)
        sources.append(Source(f"u{index}", path, "AB", "s"))
    write_manifest(tmp_path / "data", "train", sources)
    assert asrkit("tokenizer", "characters", "--data", tmp_path / "data").exit_code == 0
    return tmp_path / "data"


def test_check_says_it_and_a_longer_training_needs_no_other_key(data: Path) -> None:
    spec = data / "spec.yaml"
    spec.write_text(SPEC)
    said = " ".join(asrkit("check", spec, "--data", data).output.split())
    assert "training: 30 updates of 1 s of audio and 4 labels, each utterance 10 times" in said
    assert "after 20.0 % of the training; 0 at the end" in said
    odd = asrkit("check", spec, "--data", data, "training.schedule.total_steps=500")
    assert odd.exit_code == 2
    said = " ".join(odd.output.split())
    assert f"{spec}:8: training.schedule: planned for 500 updates, the training makes 30" in said
    assert "training: 30 updates of 1 s" in said
    few = asrkit("check", spec, "--data", data, "--processes", "4")
    assert few.exit_code == 2
    assert "of each process" in " ".join(few.output.split())
    run = data / "run"
    trained = asrkit("train", spec, "--data", data, "--run", run, "training.epochs=5")
    assert trained.exit_code == 0, trained.output
    last = (run / "log.jsonl").read_text().splitlines()[-1]
    assert '"step": 15, ' in last
    assert '"lr": 0.0,' in last, "five epochs end where their schedule ends"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "training.update.accumulate=4",
            "override: training.update.accumulate: an update is of 4 batches of each process, an "
            "epoch has 3 of all: expected 3 at most",
        ),
        (
            "data.limits.min_seconds=2",
            "override: data.limits.min_seconds: train: none of its 6 utterances can be used, "
            "such as u0: 0.500 s, data.limits.min_seconds is 2",
        ),
    ],
)
def test_a_training_that_cant_be_is_refused_before_its_folder_is_filled(
    data: Path, word: str, message: str
) -> None:
    spec, run = data / "spec.yaml", data / "run"
    spec.write_text(SPEC)
    checked = asrkit("check", spec, "--data", data, word)
    assert checked.exit_code == 2
    assert message in " ".join(checked.output.split())
    trained = asrkit("train", spec, "--data", data, "--run", run, word)
    assert trained.exit_code == 2
    assert word.partition("=")[0][:11] in trained.output
    assert not (run / "resolved.yaml").exists()
    assert not (run / "left_out.tsv").exists()


def test_training_warns_of_rates_of_another_training(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = data / "spec.yaml"
    spec.write_text(SPEC)
    words = ("training.epochs=1", "training.schedule={type: noam, peak: 0.1, warmup_steps: 9}")
    trained = asrkit("train", spec, "--data", data, "--run", data / "run", *words)
    assert trained.exit_code == 0, trained.output
    assert "its peak is never reached" in caplog.text
