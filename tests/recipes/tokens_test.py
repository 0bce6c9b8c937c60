"""Every row of recipes/switchboard/TOKENS.md changes a spec that then has no problems."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from asrkit.config.build import check, dry_build
from asrkit.config.yaml_loader import Spec, change
from asrkit.experiment import Experiment, load_spec
from asrkit.experiment.spec import resolve_spec
from asrkit.experiment.train import stages_of
from asrkit.models.interfaces import TrainableModel
from asrkit.text.vocabulary import Vocabulary

FOLDER = Path(__file__).parents[2] / "recipes" / "switchboard"
TABLE = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (FOLDER / "TOKENS.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| token")
]
ROWS = {row[0].strip("| "): re.findall(r"`([^`]+)`", row[1]) for row in TABLE}
SIZES = {"hidden_dim": 12, "dim": 24, "embedding_dim": 8, "attention_dim": 8, "readout_dim": 8}


def shrink(node: Any) -> Any:
    """Returns a spec's tree with tiny sizes; its parts stay what they are."""
    if isinstance(node, dict):
        return {
            key: SIZES.get(str(key).rsplit(".", 1)[-1], shrink(value))
            for key, value in node.items()
        }
    return [shrink(value) for value in node] if isinstance(node, list) else node


@pytest.fixture(scope="module")
def base() -> dict[str, Any]:
    tree: dict[str, Any] = load_spec(FOLDER / "conf" / "conformer-rna.yaml").tree
    return tree


def test_every_row_has_changes() -> None:
    for row in TABLE:
        assert len(row) == 3, row
        assert ROWS[row[0].strip("| ")], row


@pytest.mark.parametrize("token", list(ROWS))
def test_changes_can_be_checked_and_built(token: str, base: dict[str, Any]) -> None:
    tree, keys = deepcopy(base), {}
    for line in ROWS[token]:
        keys.update(yaml.safe_load(line))
    if "phases" not in keys and not any(key.startswith("phases") for key in keys):
        tree["phases"] = []
    change(tree, keys)
    spec = Spec(shrink(tree))
    assert [str(problem) for problem in check(Experiment, spec)] == []
    experiment, resolved = resolve_spec(spec)
    late = {"vocabulary": Vocabulary(["a", "b"])}
    for stage in stages_of(experiment, resolved, Path()):
        assert dry_build(TrainableModel, Spec(stage.resolved), "model", late) == []
