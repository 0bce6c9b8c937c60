"""Keys of transducer heads that had other names are still read, in specs and stored runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from asrkit.config.build import build
from asrkit.config.problems import SpecError
from asrkit.config.registry import Factory, import_all
from asrkit.config.yaml_loader import load
from asrkit.losses.symbols import SigmoidBlank
from asrkit.models.heads.transducer.frame_contexts import WindowAttention
from asrkit.models.heads.transducer.head import TransducerHead
from asrkit.models.interfaces import Head
from asrkit.nn.readouts import MaxoutReadout
from tests.models.heads.ctc_test import VOCABULARY, TwoBlocks

import_all()
OLD: dict[str, Any] = {
    "type": "transducer",
    "weight": 1.0,
    "topology": "rna",
    "predictor": {"type": "stateless", "dim": 4},
    "readout_dim": 6,
    "readout": "maxout",
    "blank": {"type": "sigmoid", "label_smoothing": 0.1},
    "dropout": 0.3,
    "tap": 1,
    "bottleneck_dim": 3,
    "context": {"type": "window_attention", "window": 5, "key_dim": 2},
    "pruning": None,
}


class Holder:
    def __init__(self, head: Factory[Head]) -> None:
        self.head = head


def built(node: Any) -> TransducerHead:
    head = build(Holder, {"head": node}).head(encoder=TwoBlocks(), vocabulary=VOCABULARY)
    assert isinstance(head, TransducerHead)
    return head


def write(path: Path, **heads: Any) -> Path:
    path.write_text(yaml.safe_dump({"model": {"heads": heads}}))
    return path


def test_old_keys_are_read(tmp_path: Path) -> None:
    tree = load(write(tmp_path / "spec.yaml", rna=OLD)).tree["model"]["heads"]["rna"]
    assert set(tree) == {*["type", "weight", "topology", "predictor", "joiner", "input", "pruning"]}
    head = built(tree)
    assert head.tap == 1
    assert isinstance(head.readout, MaxoutReadout)
    assert isinstance(head.blank, SigmoidBlank)
    assert isinstance(head.context, WindowAttention)
    assert head.bottleneck.out_features == 3
    assert head.frame_projection.out_features == 6
    assert head.dropout.probability == 0.3


def test_keys_of_that_name_stay_in_heads_of_other_types(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", rna=OLD, ctc={"type": "ctc", "weight": 0.3})
    variant = tmp_path / "variant.yaml"
    changes = {"ctc": {"tap": 1, "dropout": 0.2}, "rna": {"dropout": 0.5}}
    variant.write_text(yaml.safe_dump({"extends": "base.yaml", "model": {"heads": changes}}))
    heads = load(variant, ["model.heads.ctc.dropout=0.4"]).tree["model"]["heads"]
    assert heads["ctc"] == {"type": "ctc", "weight": 0.3, "tap": 1, "dropout": 0.4}
    assert heads["rna"]["joiner"]["dropout"] == 0.5
    assert heads["rna"]["joiner"]["dim"] == 6


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"joiner": {"dim": 0}}, r"head.joiner: dim \(0\) must be at least 1"),
        ({"joiner": {"dim": 7, "readout": "maxout"}}, "head.joiner: a size of 7 can't be split"),
        ({"input": {"bottleneck_dim": 0}}, r"head.input: bottleneck_dim \(0\) must be at least 1"),
    ],
)
def test_each_part_checks_itself(part: dict[str, Any], expected: str) -> None:
    node = {key: OLD[key] for key in ("type", "weight", "topology", "predictor")}
    with pytest.raises(SpecError, match=expected):
        built({**node, "joiner": {"dim": 6}, **part})
