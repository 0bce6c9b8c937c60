"""Every value of every spec under recipes/ is what is written down: a rewrite changes none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tools.comparison.pin import PINNED, leaves_of_recipes, table

ROOT = Path(__file__).parents[2]


def test_no_value_of_any_spec_has_changed() -> None:
    found = set(table(leaves_of_recipes(ROOT / "recipes")))
    pinned = set(PINNED.read_text("utf-8").splitlines())
    lost, new = sorted(pinned - found)[:20], sorted(found - pinned)[:20]
    assert (lost, new) == ([], []), "if that is meant: python tools/comparison/pin.py"


def test_changed_values_keys_and_specs_are_seen() -> None:
    first: dict[str, dict[str, Any]] = {"a.yaml": {"x": 1, "y": "1"}, "b.yaml": {"x": 1}}
    assert table(first) == ["0\ta.yaml", "1\tb.yaml", "x\t1\t0 1", 'y\t"1"\t0']
    others: list[dict[str, dict[str, Any]]] = [
        {"a.yaml": {"x": 1, "y": 1}, "b.yaml": {"x": 1}},
        {"a.yaml": {"x": 1, "z": "1"}, "b.yaml": {"x": 1}},
        {"a.yaml": {"x": 1, "y": "1"}, "b.yaml": {"x": 1.0}},
        {"a.yaml": {"x": 1, "y": "1"}, "b.yaml": {}},
        {"a.yaml": {"x": 1, "y": "1"}},
    ]
    for changed in others:
        assert table(changed) != table(first)
