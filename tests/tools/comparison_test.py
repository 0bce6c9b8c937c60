"""Records of what checkouts compute: the same twice, and different where anything is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from asrkit.config.registry import import_all
from asrkit.errors import UserError
from asrkit.search.search import searches
from tools.comparison.compare import main as compare
from tools.comparison.record import leaves
from tools.comparison.record import main as record
from tools.comparison.renames import read_renames
from tools.comparison.searches import all_searches

SPEC = """
text: characters
data: {train: [train], dev: [dev], batches: {max_seconds: 10}}
model:
  features: {type: log_mel, num_mels: 12, normalization: none}
  encoder: {type: blstm, hidden_dim: 8, num_layers: 1, pools: [4], dropout: 0.0}
  heads: {ctc: {type: ctc, weight: 1.0}}
training: {epochs: 1, optimizer: adamw, schedule: {type: constant, value: 0.01}}
"""


def record_of(folder: Path, spec: str = SPEC) -> Path:
    conf = folder / "recipe" / "conf"
    conf.mkdir(parents=True)
    (conf / "spec.yaml").write_text(spec)
    out = folder / "record.json"
    done = CliRunner().invoke(record, ["--recipes", str(folder), "--out", str(out)])
    assert done.exit_code == 0, done.output
    return out


def compared(*words: object) -> Result:
    return CliRunner().invoke(compare, [str(word) for word in words])


def test_two_records_of_one_checkout_are_equal(tmp_path: Path) -> None:
    first, second = record_of(tmp_path / "a"), record_of(tmp_path / "b")
    done = compared(first, second)
    assert done.exit_code == 0
    assert done.output.splitlines()[-1] == "all equal"


def test_a_changed_rate_is_seen_in_the_leaves_and_in_the_weights(tmp_path: Path) -> None:
    first = record_of(tmp_path / "a")
    second = record_of(tmp_path / "b", SPEC.replace("value: 0.01", "value: 0.02"))
    done = compared(first, second)
    assert done.exit_code == 1
    assert "training.schedule.value: 0.01 -> 0.02" in done.output
    assert "recipe/conf/spec.yaml after: " in done.output
    assert "recipe/conf/spec.yaml initial: equal" in done.output


def test_renamed_keys_and_parameters_are_compared_under_their_old_names(tmp_path: Path) -> None:
    def spec(leaf: str) -> dict[str, Any]:
        return {"specs": {"x.yaml": {"leaves": {leaf: 1}}}}

    before, after, renames = (tmp_path / n for n in ("before.json", "after.json", "renames.yaml"))
    before.write_text(json.dumps(spec("a.old")))
    after.write_text(json.dumps(spec("a.new")))
    renames.write_text('keys: {"(.*)\\\\.new": "\\\\1.old"}\nparameters: {}\n')
    assert compared(before, after).exit_code == 1
    assert compared(before, after, "--renames", renames).exit_code == 0


def test_parts_are_counted_whether_they_stand_in_a_list_or_a_mapping() -> None:
    parts = [{"name": "attention", "heads": 4}, {"name": "last", "sizes": []}]
    by_name = {"order": ["attention", "last"], "last": {"sizes": []}, "attention": {"heads": 4}}
    counted = {"blocks[0].heads": 4, "blocks[1].sizes": None, "n": None}
    assert dict(leaves({"blocks": parts, "n": None})) == counted
    assert dict(leaves({"blocks": by_name, "n": None})) == counted


def test_unknown_parts_of_renames_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "renames.yaml"
    path.write_text("parameter: {}\n")
    with pytest.raises(UserError, match="unknown 'parameter'"):
        read_renames(path)


def test_searches_of_all_kinds_are_recorded() -> None:
    import_all()
    named = dict(all_searches())
    assert {name.split()[0] for name in named} == searches.entries.keys()
    assert {type(search) for search in named.values()} == set(searches.entries.values())
