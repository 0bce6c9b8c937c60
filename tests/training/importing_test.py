from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from asrkit.errors import UserError
from asrkit.nn.norms import BatchNorm
from asrkit.training.checkpoints import CheckpointStore, load_weights, resolve
from asrkit.training.importing import Import, freeze, import_weights, train_mode
from tests.training.trainer_test import toy
from tests.training.whole_resume_test import make_data


def store(run: Path, model: nn.Module) -> Path:
    CheckpointStore(run / "checkpoints").save({"model": model.state_dict()}, 1, 1, 0.5)
    return run


def pair(other: int = 3) -> tuple[nn.Module, nn.Module]:
    source = nn.ModuleDict({"old": nn.Linear(2, 3), "output": nn.Linear(other, 1)})
    target = nn.ModuleDict(
        {"encoder": nn.Linear(2, 3), "output": nn.Linear(3, 1), "new": nn.Linear(1, 1)}
    )
    return source, target


def test_weights_are_taken_by_name_and_renamed(tmp_path: Path) -> None:
    source, target = pair()
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    settings = Import(store(tmp_path, source), take="weight", renames={"old.": "encoder."})
    imported = import_weights(target, [settings])
    after, there = target.state_dict(), source.state_dict()
    assert torch.equal(after["encoder.weight"], there["old.weight"])
    assert torch.equal(after["output.weight"], there["output.weight"])
    for name in ("encoder.bias", "output.bias", "new.weight", "new.bias"):
        assert torch.equal(after[name], before[name])
        assert name in imported.fresh
    path = resolve(tmp_path, "best")
    assert imported.sources["encoder.weight"] == f"{path}:old.weight"
    assert "imported 2 tensors with 9 numbers; 4 with 6 start afresh" in imported.summary(target)
    imported.write(tmp_path / "imported.tsv", target)
    rows = (tmp_path / "imported.tsv").read_text().splitlines()
    assert rows[1] == f"encoder.weight\t3x2\t{path}:old.weight"
    assert rows[2] == "encoder.bias\t3\tfresh"


def test_left_out_names_start_afresh_and_the_longest_renaming_holds(tmp_path: Path) -> None:
    source, target = pair()
    run = store(tmp_path, source)
    renames = {"o": "nowhere.", "old.": "encoder.", "output.": "output."}
    imported = import_weights(target, [Import(run, leave="^output", renames=renames)])
    assert sorted(imported.sources) == ["encoder.bias", "encoder.weight"]


def test_other_shapes_are_refused_by_name_or_start_afresh(tmp_path: Path) -> None:
    source, target = pair(other=5)
    run = store(tmp_path, source)
    with pytest.raises(UserError, match=r"'output.weight' has shape \(1, 5\).*\(1, 3\)"):
        import_weights(target, [Import(run)])
    imported = import_weights(target, [Import(run, other_shapes="fresh")])
    assert list(imported.sources) == ["output.bias"]


def test_imports_that_fit_nothing_are_refused(tmp_path: Path) -> None:
    source, target = pair()
    with pytest.raises(UserError, match="select no tensor that both models have.*encoder.weight"):
        import_weights(target, [Import(store(tmp_path, source), take="^old")])
    with pytest.raises(ValueError, match="not a regular expression"):
        Import(tmp_path, take="(")


def test_frozen_parameters_and_norms_stay(tmp_path: Path) -> None:
    trainer = toy.make_trainer(tmp_path, 1)
    frozen = toy.Trainer(
        toy.ToyModel(),
        toy.make_job(tmp_path / "frozen"),
        epochs=1,
        optimizer=toy.AdamW(),
        schedule=trainer.schedule,
        freeze=[r"layers\.0\."],
    )
    before = {name: tensor.clone() for name, tensor in frozen.model.state_dict().items()}
    frozen.run()
    for name, tensor in frozen.model.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith("layers.0."), name
    model = nn.ModuleDict({"first": BatchNorm(2), "second": BatchNorm(2)})
    assert freeze(model, ["^first"]) == ["first.norm.weight", "first.norm.bias"]
    train_mode(model)
    assert not model["first"].training
    assert model["second"].training
    for patterns, message in ((["third"], "selects no parameter"), ([""], "every parameter")):
        with pytest.raises(ValueError, match=message):
            freeze(nn.Linear(1, 1), patterns)


def train(folder: Path, spec: dict[str, Any], run: str) -> str:
    (folder / f"{run}.yaml").write_text(yaml.safe_dump(spec))
    words = ["-m", "asrkit", "train", f"{run}.yaml", "--data", "data", "--run", run]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stdout + done.stderr


def test_a_second_run_trains_a_new_head_on_an_imported_encoder(tmp_path: Path) -> None:
    make_data(tmp_path)
    spec = yaml.safe_load((tmp_path / "spec.yaml").read_text())
    spec["training"]["epochs"] = 1
    train(tmp_path, spec, "first")
    spec["model"]["heads"] = {"ctc": {"type": "ctc", "weight": 1.0}}
    spec["imports"] = [{"run": "first", "checkpoint": "last", "take": "^(encoder|features)"}]
    spec["training"]["freeze"] = ["^encoder"]
    output = train(tmp_path, spec, "second")
    first = load_weights(resolve(tmp_path / "first", "last"))
    second = load_weights(resolve(tmp_path / "second", "last"))
    names = [name for name in second if name.startswith(("encoder", "features"))]
    assert len(names) < len(second)
    assert all(torch.equal(first[name], second[name]) for name in names)
    assert "start afresh: heads.ctc" in output
    fresh = [r for r in (tmp_path / "second" / "imported.tsv").read_text().splitlines()]
    assert sum(row.endswith("\tfresh") for row in fresh) == len(second) - len(names)
    spec["imports"] = []
    assert "imports differ from this spec" in train(tmp_path, spec, "second")
