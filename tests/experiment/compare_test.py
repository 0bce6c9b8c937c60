"""What runs differ in is told alike by `asrkit diff` and RESULTS.md."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from asrkit.cli import main
from asrkit.config.yaml_loader import dump
from asrkit.experiment.compare import diff, diff_runs
from asrkit.experiment.spec import load_spec, resolve_spec
from asrkit.reports.parents import against_parent
from asrkit.run_folder import RunFolder

SPEC = Path(__file__).parents[2] / "recipes" / "an4" / "conf" / "conformer.yaml"


@pytest.fixture(scope="module")
def resolved() -> dict[str, Any]:
    return resolve_spec(load_spec(SPEC))[1]


def write(run: Path, tree: dict[str, Any]) -> Path:
    run.mkdir(parents=True)
    dump(tree, RunFolder(run).spec)
    return run


def test_keys_that_a_parent_does_not_know_are_no_changes(
    tmp_path: Path, resolved: dict[str, Any]
) -> None:
    limits = dict(resolved["data"]["limits"])
    assert limits.pop("min_seconds") is not None
    older = {**resolved, "data": {**resolved["data"], "limits": limits}, "format": 1}
    older.pop("plugins")
    parent = write(tmp_path / "parent", older)
    run = write(tmp_path / "run", {**resolved, "parent": "parent", "seed": 7})
    assert "seed: 1 -> 7" in diff(parent, run).changes
    assert not any("min_seconds" in line for line in diff(parent, run).changes)
    section = against_parent(run)
    assert section.startswith("Changes against parent:\n\n```\nseed: 1 -> 7\n```\n")
    said = CliRunner().invoke(main, ["diff", "--json", str(parent), str(run)])
    changes = json.loads(said.stdout)["changes"]
    assert [line for line in changes if not line.startswith(("parent", "format"))] == [
        "seed: 1 -> 7"
    ]


def test_a_spec_that_can_not_be_built_is_compared_as_it_was_stored(
    tmp_path: Path, resolved: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    parent = write(tmp_path / "parent", {**resolved, "gone": 3})
    run = write(tmp_path / "run", resolved)
    with caplog.at_level(logging.WARNING):
        assert diff_runs(parent, run).changes == ["gone: 3 -> (none)"]
    assert "compared without the defaults of this version" in caplog.text


def test_what_trainings_really_did_is_compared(tmp_path: Path, resolved: dict[str, Any]) -> None:
    shares: list[dict[str, float]] = [
        {"encoder.blocks.0.ffn.keep.skipped": 0.1, "encoder.blocks.1.ffn.keep.skipped": 0.3},
        {"encoder.blocks.0.ffn.keep.skipped": 0.21, "augment.masks.masked_frames": 0.0},
        {"encoder.blocks.0.ffn.keep.skipped": 0.5, "speed.1": 1.0},
    ]
    runs = [write(tmp_path / f"run{number}", resolved) for number in range(4)]
    for run, applied in zip(runs, shares, strict=False):
        fields = {"epoch": 1, "seconds": 1.0, "step": 1, "lr": 1.0, "train": {}, "dev": {}}
        RunFolder(run).log.write_text(json.dumps({**fields, "applied": applied}) + "\n")
    assert diff(runs[0], runs[1]).applied == ["augment.masks.masked_frames: (none) -> 0.0000"]
    assert diff(runs[0], runs[2]).applied == [
        "encoder.blocks.*.ffn.keep.skipped: 0.2000 -> 0.5000",
        "speed.1: (none) -> 1.0000",
    ]
    assert diff(runs[0], runs[3]).applied == []  # of an older version
    said = CliRunner().invoke(main, ["diff", str(runs[0]), str(runs[2])])
    assert "what training did: speed.1: (none) -> 1.0000" in said.stdout
