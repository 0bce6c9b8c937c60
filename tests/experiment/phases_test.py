from __future__ import annotations

import importlib
import json
import re
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from asrkit.data.manifests import Unusable, read_unusable, write_unusable
from asrkit.errors import UserError
from asrkit.experiment.check import check
from asrkit.experiment.open_data import fitness_of
from asrkit.experiment.spec import load_spec, make_tokenizer, resolve_spec
from asrkit.experiment.train import train
from asrkit.run_folder import RunFolder
from asrkit.training.checkpoints import CheckpointStore, load, load_weights, resolve
from asrkit.training.parameter_groups import owned_parameters
from asrkit.training.trainer import Trainer
from tests.training.resume_test import read
from tests.training.whole_resume_test import make_data

PHASES = [
    {
        "epochs": 1,
        "changes": {
            "model.encoder": {"dim": 4, "num_layers": 1},
            "model.encoder.frontend[0].dim": 4,
            "data.batches.max_seconds": 3.0,
            "training.schedule": {"type": "constant", "value": 0.002},
        },
        "without": ["model.heads.attention"],
    },
    {"epochs": 1, "changes": {"model.encoder.num_layers": 1}},
    {"epochs": 1, "changes": {"training.update.accumulate": 2}},
]


BY_UPDATES = [
    {
        "updates": 2,
        "changes": {"model.encoder.num_layers": 1, "data.batches.max_seconds": 3.0},
        "without": ["model.heads.attention"],
    },
    {"updates": 5, "changes": {"model.encoder.num_layers": 1}},
]


def make_spec(folder: Path, **changes: Any) -> Path:
    make_data(folder)
    spec = yaml.safe_load((folder / "spec.yaml").read_text())
    spec["data"]["num_workers"] = 0
    spec["model"]["encoder"]["num_layers"] = 2
    spec.update({"phases": PHASES, **changes})
    path = folder / "phases.yaml"
    path.write_text(yaml.safe_dump(spec))
    return path


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than training here."""
    module = importlib.import_module("asrkit.experiment.train")
    monkeypatch.setattr(module, "DevPictures", lambda *_: None)
    monkeypatch.setattr(module, "plot_curves", lambda *_: None)


class KilledError(Exception):
    pass


def kill_after(monkeypatch: pytest.MonkeyPatch, saves: int) -> None:
    original, done = CheckpointStore.save, [0]

    def save(self: CheckpointStore, *arguments: Any) -> None:
        original(self, *arguments)
        done[0] += 1
        if done[0] == saves:
            raise KilledError

    monkeypatch.setattr(CheckpointStore, "save", save)


def test_a_growing_training_killed_anywhere_ends_the_same(tmp_path: Path) -> None:
    spec = make_spec(tmp_path)
    data = tmp_path / "data"
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(spec, [], data, whole)
    kills = 0
    while True:
        with pytest.MonkeyPatch.context() as patch:
            kill_after(patch, 2)
            try:
                train(spec, [], data, killed)
                break
            except KilledError:
                kills += 1
    assert kills >= 4  # each phase at least once
    (log, weights), (log_killed, weights_killed) = read(whole), read(killed)
    assert [entry["epoch"] for entry in log] == [1, 2, 3, 4]
    assert log == log_killed
    assert all(torch.equal(tensor, weights_killed[name]) for name, tensor in weights.items())
    check_sizes(whole)


def check_sizes(run: Path) -> None:
    states = [load(resolve(folder, "last")) for folder in phase_folders(run)]
    names = ["encoder.blocks.0.ffn.module.contract.bias", "encoder.norms.0.norm.weight"]
    sizes = [[len(s["model"][n]) for n in s["model"] if n in names] for s in states]
    assert {size for row in sizes[1:] for size in row} == {8}
    assert set(sizes[0]) == {4}
    assert not any(name.startswith("heads.attention") for name in states[0]["model"])
    assert [any(".blocks.1." in n for n in s["model"]) for s in states] == [False, False, True]
    steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert steps[0] < steps[1] - steps[0]  # larger batches
    assert load(resolve(run / "phases/2", "last"))["progress"]["step"] == steps[1]


def count_ids(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[int, str]]:
    """Returns how often utterances are trained on in each epoch, as training goes on."""
    original, seen = Trainer.train_step, Counter[tuple[int, str]]()

    def train_step(self: Trainer, batches: Any) -> Any:
        seen.update((self.epoch, name) for batch in batches for name in batch.ids)
        return original(self, batches)

    monkeypatch.setattr(Trainer, "train_step", train_step)
    return seen


def test_phases_may_end_within_epochs_and_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(tmp_path, phases=BY_UPDATES)
    data, epochs = tmp_path / "data", ["training.epochs=3"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with monkeypatch.context() as patch:
        seen = count_ids(patch)
        train(spec, epochs, data, whole)
    assert seen == {(epoch, f"u{n}"): 1 for epoch in (1, 2, 3) for n in range(12)}
    folders = [whole / "phases/1", whole / "phases/2", whole]
    progress = [load(resolve(folder, "last"))["progress"] for folder in folders]
    assert [(each["epoch"], each["step"]) for each in progress[:2]] == [(1, 2), (2, 7)]
    assert progress[0]["batch"] > 0 < progress[1]["batch"]
    for saves in (1, 2, 1):
        with monkeypatch.context() as patch, suppress(KilledError):
            kill_after(patch, saves)
            train(spec, epochs, data, killed)
    train(spec, epochs, data, killed)
    (log, weights), (log_killed, weights_killed) = read(whole), read(killed)
    assert [entry["epoch"] for entry in log] == [1, 2, 3]
    assert log == log_killed
    assert all(torch.equal(tensor, weights_killed[name]) for name, tensor in weights.items())


def test_phases_that_leave_no_updates_are_refused(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, phases=[{"updates": 900, "changes": {"training.log_steps": 5}}])
    with pytest.raises(UserError, match="phases: they last 900 updates, and the training is of"):
        train(spec, [], tmp_path / "data", tmp_path / "run")
    assert any("they last 900 updates" in p for p in check(spec, data=tmp_path / "data").problems)


def phase_folders(run: Path) -> list[Path]:
    return [run / "phases" / str(number) for number in (1, 2, 3)]


def test_the_optimiser_is_kept_where_only_batches_change(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, phases=[PHASES[2]])
    overrides = ["training.epochs=2"]
    train(spec, overrides, tmp_path / "data", tmp_path / "run")
    before = load(resolve(tmp_path / "run/phases/1", "last"))["optimizer"]["state"][0]["step"]
    after = load(resolve(tmp_path / "run", "last"))["optimizer"]["state"][0]["step"]
    assert 0 < before < after
    assert len(load_weights(resolve(tmp_path / "run", "last"))) > 10


def steps_of_moments(run: Path, data: Path) -> dict[str, int]:
    """Returns for how many updates the optimiser knows each weight."""
    state = load(resolve(run, "last"))
    experiment, _ = resolve_spec(load_spec(RunFolder(run).spec))
    model = experiment.model(vocabulary=make_tokenizer(experiment, data).vocabulary)
    trained = [each.name for each in owned_parameters(model)]
    moments = state["optimizer"]["state"]
    return {name: int(moments[number]["step"]) for number, name in enumerate(trained)}


@pytest.mark.parametrize("moments", ["kept", "forgotten"])
def test_moments_of_blocks_that_stay_are_kept_or_forgotten(tmp_path: Path, moments: str) -> None:
    spec = make_spec(tmp_path, phases=[{**PHASES[1], "moments": moments}])
    run = tmp_path / "run"
    train(spec, ["training.epochs=2"], tmp_path / "data", run)
    (before,) = {*steps_of_moments(run / "phases/1", tmp_path / "data").values()}
    after = steps_of_moments(run, tmp_path / "data")
    updates = load(resolve(run, "last"))["progress"]["step"]
    new = {name for name in after if name.startswith(("encoder.blocks.1.", "encoder.norms.1."))}
    assert {after[name] for name in new} == {updates - before}
    known = updates if moments == "kept" else updates - before
    assert {after[name] for name in after if name not in new} == {known}


def test_moments_of_weights_that_grew_begin_again(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, phases=[PHASES[0]])
    run = tmp_path / "run"
    train(spec, ["training.epochs=2"], tmp_path / "data", run)
    updates = load(resolve(run, "last"))["progress"]["step"]
    after = steps_of_moments(run, tmp_path / "data")
    assert after["encoder.blocks.0.attention.module.output.weight"] == updates - 4
    assert after["encoder.frontends.0.convolutions.0.weight"] == updates  # its shape is the same


def count_dev(monkeypatch: pytest.MonkeyPatch) -> dict[int, set[str]]:
    """Returns what the dev loss is of after so many updates, as training goes on."""
    module = importlib.import_module("asrkit.training.trainer")
    original, seen = module.evaluate, dict[int, set[str]]()

    def evaluate(model: Any, batches: Any, step: int, *others: Any) -> Any:
        read = list(batches)
        seen[step] = {name for batch in read for name in batch.ids}
        return original(model, read, step, *others)

    monkeypatch.setattr(module, "evaluate", evaluate)
    return seen


CURRICULUM = {"epochs": 1, "changes": {"data.limits": {"max_seconds": 0.7, "max_labels": 4}}}


def test_a_curriculum_leaves_out_of_training_alone_and_for_its_phase_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(tmp_path, phases=[CURRICULUM])
    run = tmp_path / "run"
    trained, judged = count_ids(monkeypatch), count_dev(monkeypatch)
    train(spec, ["training.epochs=2"], tmp_path / "data", run)
    short = [f"u{n}" for n in range(7) if n % 4 != 3]  # of 0.5 .. 0.69 s, and 4 labels at most
    assert sorted(name for epoch, name in trained if epoch == 1) == short
    assert {name for epoch, name in trained if epoch == 2} == {f"u{n}" for n in range(12)}
    assert [*judged.values()] == 2 * [{"u12", "u13"}], "both are longer than what is trained on"
    for folder in (run / "phases/1", run):
        assert read_unusable(folder / "left_out.tsv") == []


def test_a_run_that_has_left_out_long_dev_utterances_goes_on_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(tmp_path, phases=[])
    judged = count_dev(monkeypatch)
    (tmp_path / "old").mkdir()
    write_unusable(tmp_path / "old/left_out.tsv", [Unusable("u13", "too long", "0.9 s")])
    words = ["training.epochs=1", "data.limits.max_seconds=0.88"]
    for run, expected in (("old", {"u12"}), ("new", {"u12", "u13"})):
        judged.clear()
        train(spec, words, tmp_path / "data", tmp_path / run)
        assert [*judged.values()] == [expected]


def test_dev_is_not_asked_to_be_learnable_at_the_speeds_of_training(tmp_path: Path) -> None:
    experiment, _ = resolve_spec(load_spec(make_spec(tmp_path)))
    units = make_tokenizer(experiment, tmp_path / "data")
    model = experiment.model(vocabulary=units.vocabulary)
    fastest = [fitness_of(experiment, units, model, n).fastest for n in ("train", "dev")]
    assert fastest == [1.1, 1.0]


def test_more_downsampling_at_first_loses_neither_utterances_nor_moments(tmp_path: Path) -> None:
    front = {"strides": [4, 4], "frequency_strides": [2, 2]}
    changes = {f"model.encoder.frontend[0].{key}": value for key, value in front.items()}
    spec = make_spec(tmp_path, phases=[{"epochs": 1, "changes": changes}])
    run = tmp_path / "run"
    train(spec, ["training.epochs=2"], tmp_path / "data", run)
    left_out = read_unusable(run / "phases/1/left_out.tsv")
    assert "u3" in {entry.id for entry in left_out}  # 5 labels, and 4 frames
    assert {entry.reason for entry in left_out} == {"too few frames"}
    assert read_unusable(run / "left_out.tsv") == []
    states = [load(resolve(folder, "last")) for folder in (run / "phases/1", run)]
    steps = [state["optimizer"]["state"][0]["step"] for state in states]
    assert 0 < steps[0] < steps[1] == states[1]["progress"]["step"]


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        ({"epochs": 4}, "phases last 4 epochs, training.epochs is 4"),
        ({"epochs": 1, "changes": {"model.encoder.num_layer": 1}}, r"phases\[0\].*num_layer"),
        ({"epochs": 1, "changes": {"model.encoder.taps": [9]}}, r"phases\[0\].*taps \[9\]"),
        ({"epochs": 1, "without": ["model.heads.other"]}, "no 'model.heads.other' to leave out"),
        ({"epochs": 1, "changes": {"seed": 2}}, "a phase can't change 'seed'"),
        ({"epochs": 1, "changes": {"training.epochs": 9}}, "can't change 'training.epochs'"),
        ({"epochs": 0}, "must be at least 1"),
        ({"updates": 0}, "must be at least 1"),
        ({"epochs": 1, "updates": 1}, "give one of both"),
        ({"changes": {"model.encoder.num_layers": 1}}, "give one of both"),
    ],
)
def test_wrong_phases_are_refused(tmp_path: Path, phase: dict[str, Any], message: str) -> None:
    spec = make_spec(tmp_path, phases=[phase])
    try:
        problems = "\n".join(check(spec).problems)
    except UserError as error:
        problems = str(error)
    assert problems
    assert re.search(message, problems.replace("\n", " ")), problems


def test_phases_of_epochs_and_of_updates_are_not_mixed(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, phases=[{"epochs": 1}, {"updates": 3}])
    assert "all must last epochs, or all must last updates" in "\n".join(check(spec).problems)
