"""Specs and runs with keys under their old names: read, told once, and no change for themselves."""

from __future__ import annotations

import logging
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from asrkit.config.build import filled
from asrkit.config.renamed_keys import RENAMED
from asrkit.config.yaml_loader import dump
from asrkit.experiment import Experiment, check, diff, explain, load_spec
from asrkit.experiment.claim import claim_run
from asrkit.reports.parents import against_parent

SPEC = """
text: characters
data:
  train: [train]
  dev: [dev]
  batches: {max_seconds: 4.0, order: random}
  limits: {min_seconds: 0.2}
model:
  features: {type: log_mel, num_mels: 8}
  encoder: {type: blstm, hidden_dim: 8, num_layers: 1, pools: [4], dropout: 0.0}
  heads: {ctc: {type: ctc, weight: 1.0}}
training:
  epochs: 1
  optimizer: adamw
  schedule: {type: constant, value: 0.1}
  update: {max_grad_norm: 3.0}
  checkpoints: {reload_best: {last: 4}}
"""
OLD = """
extends: spec.yaml
data:
  max_seconds: 9.0
training:
  max_grad_norm: 2.0
"""
NEWER = {"checkpoints": {"keep_best_by", "keep_epochs"}, "update": {"loss_scale", "normalize_over"}}
"""Keys of a group that came after it."""
PARTS = [rename for rename in RENAMED if rename.old.split(".")[0] in ("training", "data")]


def in_old_names(tree: dict[str, Any]) -> dict[str, Any]:
    """Returns a resolved spec as it was written before its keys were grouped."""
    tree = deepcopy(tree)
    for rename in PARTS:
        part, group, key = rename.new.split(".")
        tree[part][rename.old.split(".")[1]] = tree[part][group].pop(key)
    for part, group in {tuple(rename.new.split(".")[:2]) for rename in PARTS}:
        left = set(tree[part].pop(group)) - NEWER.get(group, set())
        assert not left, "each key of a group had an old name"
    return tree


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(SPEC)
    Path("old.yaml").write_text(OLD)
    tree = filled(Experiment, load_spec(Path("spec.yaml")))
    for name, resolved in {"old": in_old_names(tree), "new": {**tree, "parent": "old"}}.items():
        (tmp_path / "run" / name).mkdir(parents=True)
        dump(resolved, tmp_path / "run" / name / "resolved.yaml")
    return tmp_path


def test_diff_speaks_of_new_names(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert "update" not in (folder / "run/old/resolved.yaml").read_text()
    assert diff(Path("run/old"), Path("spec.yaml")).changes == []
    assert diff(Path("run/old"), Path("old.yaml")).changes == [
        "data.limits.max_seconds: 30.0 -> 9.0",
        "training.update.max_grad_norm: 3.0 -> 2.0",
    ]
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "old.yaml:6: training.max_grad_norm is now training.update.max_grad_norm; "
        "the old name is still read",
        "old.yaml:4: data.max_seconds is now data.limits.max_seconds; the old name is still read",
    ]


def test_a_run_that_goes_on_and_its_results_see_no_change(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert "(nothing)" in against_parent(folder / "run" / "new")
    caplog.set_level(logging.INFO)
    (folder / "run" / "old" / "checkpoints").mkdir()
    assert claim_run(folder / "run" / "old", filled(Experiment, load_spec(Path("spec.yaml"))))
    assert caplog.records == []


def test_explain_takes_an_old_name_and_says_the_new_one(folder: Path) -> None:
    for key in ("training.max_grad_norm", "training.update.max_grad_norm"):
        said = explain(Path("old.yaml"), (), key).split("\n")
        assert said[:2] == ["training.update.max_grad_norm = 2.0", "from: old.yaml:6"]


def test_problems_name_the_line_of_an_old_name(folder: Path) -> None:
    Path("wrong.yaml").write_text("extends: spec.yaml\ntraining:\n  max_grad_norm: much\n")
    assert check(Path("wrong.yaml")).problems == [
        "wrong.yaml:3: training.update.max_grad_norm: expected a number, got the text 'much'"
    ]
