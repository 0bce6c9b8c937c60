from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from asrkit.config.build import check
from asrkit.config.registry import Factory
from asrkit.config.renamed_keys import RENAMED, Rename
from asrkit.config.renames import current_key, old_key
from asrkit.config.yaml_loader import Spec, load
from asrkit.errors import UserError
from asrkit.training.trainer import Trainer

TABLE = [
    Rename("training.max_grad_norm", "training.update.max_grad_norm", "standard"),
    Rename("training.reload_best", "training.checkpoints.reload_best", "standard"),
    Rename("model.heads.*.readout_dim", "model.heads.*.predictor.readout.dim", "transducer"),
    Rename("decoding.*.beam_size", "decoding.*.beam.size"),
]


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asrkit.config.renames.RENAMED", TABLE)


def spec(folder: Path, text: str, *overrides: str, name: str = "a.yaml") -> Spec:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return load(path, overrides)


def notes(spec: Spec, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.set_level(logging.INFO)
    spec.tell_old_names()
    return [record.getMessage() for record in caplog.records]


def test_an_old_name_is_read_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec(tmp_path, "training:\n  max_grad_norm: 1.0\n", name="base.yaml")
    text = "extends: base.yaml\ntraining:\n  epochs: 3\n  max_grad_norm: 2.0\n"
    found = spec(tmp_path, text)
    assert found.tree == {"training": {"epochs": 3, "update": {"max_grad_norm": 2.0}}}
    assert found.source("training.update.max_grad_norm") == f"{tmp_path}/a.yaml:4"
    assert notes(found, caplog) == [
        f"{tmp_path}/base.yaml:2: training.max_grad_norm is now training.update.max_grad_norm; "
        "the old name is still read"
    ]


def test_a_variant_with_an_old_name_changes_a_base_with_the_new_one(tmp_path: Path) -> None:
    base = "training:\n  update: {max_grad_norm: 1.0, precision: bf16}\n"
    spec(tmp_path, base, name="base.yaml")
    text = "extends: base.yaml\ntraining: {max_grad_norm: 2.0}\n"
    update = {"max_grad_norm": 2.0, "precision": "bf16"}
    assert spec(tmp_path, text).tree == {"training": {"update": update}}


def test_null_takes_out_what_a_base_says_under_the_new_name(tmp_path: Path) -> None:
    spec(tmp_path, "training: {checkpoints: {reload_best: {last: 3}}}\n", name="base.yaml")
    text = "extends: base.yaml\ntraining: {reload_best: null}\n"
    assert spec(tmp_path, text).tree == {"training": {"checkpoints": {}}}


@pytest.mark.parametrize(
    "text",
    [
        "training:\n  max_grad_norm: 1\n  update: {max_grad_norm: 1}\n",
        "phases:\n- changes:\n    training.max_grad_norm: 1\n"
        "    training.update.max_grad_norm: 1\n",
    ],
)
def test_both_names_together_are_refused(tmp_path: Path, text: str) -> None:
    said = r"a.yaml:\d: training.max_grad_norm is now training.update.max_grad_norm, which is given"
    with pytest.raises(UserError, match=said):
        spec(tmp_path, text)


def test_both_names_on_a_command_line_are_refused(tmp_path: Path) -> None:
    words = ["training.max_grad_norm=1", "training.update.max_grad_norm=2"]
    with pytest.raises(UserError, match="which is given as well: leave out training.max_grad_norm"):
        spec(tmp_path, "training: {}\n", *words)


def test_an_old_name_below_what_is_no_mapping_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a.yaml:1: .* but training.update is 3"):
        spec(tmp_path, "training: {max_grad_norm: 1, update: 3}\n")


@pytest.mark.parametrize(
    ("word", "tree"),
    [
        ("training.max_grad_norm=3", {"update": {"max_grad_norm": 3}}),
        ("training.reload_best.last=3", {"checkpoints": {"reload_best": {"last": 3}}}),
        ("training={max_grad_norm: 3}", {"update": {"max_grad_norm": 3}}),
        ("training={type: mine, max_grad_norm: 3}", {"type": "mine", "max_grad_norm": 3}),
    ],
)
def test_words_of_the_command_line_may_have_old_names(tmp_path: Path, word: str, tree: Any) -> None:
    found = spec(tmp_path, "training: {}\n", word)
    assert found.tree == {"training": tree}
    key = next(key for key in found.sources if key.endswith("max_grad_norm") or "last" in key)
    assert found.source(key) == "override"


def test_parts_of_other_types_keep_their_keys(tmp_path: Path) -> None:
    spec(tmp_path, "training: {type: mine}\n", name="base.yaml")
    text = "extends: base.yaml\ntraining: {max_grad_norm: 1}\n"
    found = spec(tmp_path, text, "training.max_grad_norm=2")
    assert found.tree == {"training": {"type": "mine", "max_grad_norm": 2}}
    assert found.renamed == []


def test_a_star_is_a_step_of_any_name(tmp_path: Path) -> None:
    heads = "{a: {type: transducer, readout_dim: 3}, b: {type: attention, readout_dim: 4}}"
    found = spec(tmp_path, f"model: {{heads: {heads}}}\n", "model.heads.a.readout_dim=5")
    assert found.tree["model"]["heads"] == {
        "a": {"type": "transducer", "predictor": {"readout": {"dim": 5}}},
        "b": {"type": "attention", "readout_dim": 4},
    }


def test_phases_and_tables_of_searches_are_read_alike(tmp_path: Path) -> None:
    text = """
model: {heads: {a: {type: transducer}}}
phases:
- {changes: {training.max_grad_norm: 1, model.heads: {a: {readout_dim: 2}}},
   without: [training.reload_best, model.heads.a.readout_dim]}
decoding: {x: {beam_size: 1}}
table:
  rows: {r: {beam_size: 2}}
  columns: {c: {changes: {beam_size: 3}, rows: {r: {beam_size: 4}}}}
"""
    tree = spec(tmp_path, text).tree
    heads = {"a": {"predictor": {"readout": {"dim": 2}}}}
    assert tree["phases"] == [
        {
            "changes": {"training.update.max_grad_norm": 1, "model.heads": heads},
            "without": ["training.checkpoints.reload_best", "model.heads.a.predictor.readout.dim"],
        }
    ]
    assert tree["decoding"] == {"x": {"beam": {"size": 1}}}
    column = {"changes": {"beam": {"size": 3}}, "rows": {"r": {"beam": {"size": 4}}}}
    assert tree["table"] == {"rows": {"r": {"beam": {"size": 2}}}, "columns": {"c": column}}


def test_key_paths_have_an_old_and_a_current_name() -> None:
    key = "model.heads.a.readout_dim"
    assert current_key(key, {}) == "model.heads.a.predictor.readout.dim"
    assert current_key(key, {"model": {"heads": {"a": "ctc"}}}) == key
    assert old_key("model.heads.a.predictor.readout.dim") == key
    assert old_key("training.checkpoints.reload_best.last") == "training.reload_best.last"
    assert old_key("training.checkpoints.reload_bests") == "training.checkpoints.reload_bests"


def test_old_names_of_the_table_are_old() -> None:
    """A new name that is an old one, too, would be renamed again and again."""
    for rename in RENAMED:
        assert current_key(rename.new, {}) == rename.new


def test_the_nearest_name_may_be_in_a_group_or_an_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asrkit.config.renames.RENAMED", RENAMED)
    text = "training: {epochs: 1, optimizer: adamw, schedule: {type: constant, value: 1.0}, "
    for wrong, meant in (("max_gradnorm", "update.max_grad_norm"), ("epoch", "epochs")):
        found = spec(tmp_path, text + wrong + ": 1}\n")
        said = [str(problem) for problem in check(Factory[Trainer], found.tree["training"])]
        assert any(f"did you mean '{meant}'" in problem for problem in said), said
