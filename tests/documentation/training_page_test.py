"""Every example of the page of training settings can be put on the spec that it names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from asrkit.config.explain import difference
from asrkit.config.factories import CheckedFactory
from asrkit.config.yaml_loader import load
from asrkit.experiment import load_spec
from asrkit.experiment.spec import resolve_spec
from asrkit.experiment.train import stages_of
from asrkit.text.vocabulary import Vocabulary
from asrkit.training.refusals import refuse_settings
from tests.documentation.commands import ROOT

PAGE = (ROOT / "docs/training.md").read_text("utf-8")
BASE = ROOT / "recipes/an4/conf/aed.yaml"
LINES = [line.strip() for line in PAGE.splitlines() if line.startswith("| ")]
ROWS = [[cell.strip() for cell in line[1:-1].split("|")] for line in LINES]
EXAMPLES = {row[0]: row[-1].strip("`") for row in ROWS if row[-1].startswith("`")}


def changes_of(example: str) -> dict[str, Any]:
    found = yaml.safe_load(example)
    assert isinstance(found, dict), example
    return found


def test_every_row_has_an_example_of_its_own() -> None:
    heads = [row for row in ROWS if row[0] in ("setting", "---")]
    assert len(EXAMPLES) == len(ROWS) - len(heads) == len(set(EXAMPLES.values()))
    assert {len(row) for row in ROWS} == {5}
    assert f"`{BASE.relative_to(ROOT)}`" in PAGE


@pytest.fixture(scope="module")
def base() -> dict[str, Any]:
    return resolve_spec(load_spec(BASE))[1]


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_change_the_spec_and_can_be_built(name: str, base: dict[str, Any]) -> None:
    changes = [f"{key}={json.dumps(v)}" for key, v in changes_of(EXAMPLES[name]).items()]
    experiment, tree = resolve_spec(load(BASE, changes))
    assert difference(base, tree)
    for stage in stages_of(experiment, tree, Path("run")):
        assert stage.resolved["training"]["epochs"] >= 1
        with torch.device("meta"):
            model = stage.experiment.model(vocabulary=Vocabulary(["a", "b"]))
        assert isinstance(stage.experiment.training, CheckedFactory)
        stage.experiment.training.given_to(refuse_settings)(model=model, has_dev=True)


def test_sources_are_those_of_the_docstrings() -> None:
    code = "".join(path.read_text("utf-8") for path in (ROOT / "asrkit").rglob("*.py"))
    for name in re.findall(r"exp\w*_rf|exp_fs_base|exp2022\w+", PAGE):
        assert name in code, name
