"""A node that starts from a node of what its file extends."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrkit.config.yaml_loader import load
from asrkit.errors import UserError

BASE = """\
model:
  encoder: {type: conformer, dim: 96, blocks: {ffn: {scale: 0.5}, norm: {type: layer_norm}}}
  heads: {attention: {type: attention, decoder: {type: lstm, dim: 3}}}
"""


def written(folder: Path, text: str) -> Path:
    (folder / "base.yaml").write_text(BASE)
    (folder / "child.yaml").write_text(f"extends: base.yaml\n{text}")
    return folder / "child.yaml"


def test_a_part_can_be_put_around_another_one(tmp_path: Path) -> None:
    text = "model:\n  encoder:\n    type: chunked\n    size: 60\n    encoder:\n"
    path = written(
        tmp_path, text + "      extends: model.encoder\n      dim: 8\n      blocks: {norm: null}\n"
    )
    spec = load(path)
    inner = {"type": "conformer", "dim": 8, "blocks": {"ffn": {"scale": 0.5}}}
    assert spec.tree["model"]["encoder"] == {"type": "chunked", "size": 60, "encoder": inner}
    assert spec.source("model.encoder.encoder.dim") == f"{path}:8"
    assert spec.source("model.encoder.encoder.type") == f"{tmp_path / 'base.yaml'}:2"
    assert spec.source("model.encoder.encoder.blocks.norm.type") is None
    assert spec.source("model.encoder.encoder.extends") is None
    assert load(tmp_path / "base.yaml").tree["model"]["encoder"]["dim"] == 96


def test_a_part_of_a_head_that_goes_is_taken_over_by_another(tmp_path: Path) -> None:
    chunked = "{type: chunked, decoder: {extends: model.heads.attention.decoder}}"
    spec = load(written(tmp_path, f"model: {{heads: {{attention: null, chunked: {chunked}}}}}\n"))
    decoder = {"type": "lstm", "dim": 3}
    assert spec.tree["model"]["heads"] == {"chunked": {"type": "chunked", "decoder": decoder}}


def test_nodes_that_are_taken_over_are_not_shared(tmp_path: Path) -> None:
    copies = "p: {extends: model.encoder}\nq: {extends: model.encoder}\n"
    spec = load(written(tmp_path, copies), ["p.dim=1"])
    assert (spec.tree["p"]["dim"], spec.tree["q"]["dim"]) == (1, 96)
    assert spec.tree["model"]["encoder"]["dim"] == 96


def test_it_replaces_what_its_own_file_extends_there(tmp_path: Path) -> None:
    text = "model: {heads: {attention: {extends: model.encoder.blocks, weight: 2}}}\n"
    heads = {"attention": {"ffn": {"scale": 0.5}, "norm": {"type": "layer_norm"}, "weight": 2}}
    path = written(tmp_path, text)
    assert load(path).tree["model"]["heads"] == heads
    assert load(path).source("model.heads.attention.decoder.dim") is None
    whole = "model.heads.attention={extends: model.encoder.blocks, weight: 2}"
    assert load(tmp_path / "base.yaml", [whole]).tree["model"]["heads"] == heads
    assert load(tmp_path / "base.yaml").tree["model"]["heads"]["attention"]["type"] == "attention"


def test_a_node_may_extend_that_of_its_own_place(tmp_path: Path) -> None:
    spec = load(written(tmp_path, "model: {encoder: {extends: model.encoder, dim: 8}}\n"))
    assert spec.tree["model"]["encoder"]["dim"] == 8
    assert spec.tree["model"]["encoder"]["blocks"]["ffn"] == {"scale": 0.5}


def test_a_node_extends_one_inside_another_that_extends(tmp_path: Path) -> None:
    text = "p: {extends: model.encoder, blocks: {ffn: {extends: model.heads.attention.decoder}}}\n"
    spec = load(written(tmp_path, text))
    assert spec.tree["p"]["blocks"]["ffn"] == {"type": "lstm", "dim": 3}
    assert spec.tree["p"]["blocks"]["norm"] == {"type": "layer_norm"}


def test_overrides_can_put_a_part_around_another_one(tmp_path: Path) -> None:
    override = "model.encoder={type: chunked, encoder: {extends: model.encoder, dim: 8}}"
    spec = load(written(tmp_path, ""), [override])
    encoder = spec.tree["model"]["encoder"]
    assert (encoder["type"], encoder["encoder"]["type"]) == ("chunked", "conformer")
    assert encoder["encoder"]["dim"] == 8
    assert spec.source("model.encoder.encoder.dim") == "override"
    assert spec.source("model.encoder.encoder.type") == f"{tmp_path / 'base.yaml'}:2"
    gone = ("model.encoder.dim", "model.encoder.encoder.extends")
    assert [spec.source(key) for key in gone] == [None, None]


@pytest.mark.parametrize("key", ["model.encodr", "model.encoder.dim", "3", "a..b", "[model]"])
def test_what_is_not_there_is_named_with_its_line(tmp_path: Path, key: str) -> None:
    path = written(tmp_path, f"model:\n  encoder:\n    extends: {key}\n")
    with pytest.raises(
        UserError, match=r"child\.yaml:4: model\.encoder\.extends: expected the key"
    ):
        load(path)


def test_a_file_that_extends_nothing_has_no_nodes_to_extend(tmp_path: Path) -> None:
    path = tmp_path / "alone.yaml"
    path.write_text("model: {encoder: {extends: model.encoder}}\n")
    with pytest.raises(UserError, match=r"alone\.yaml:1: .*this file extends nothing"):
        load(path)
