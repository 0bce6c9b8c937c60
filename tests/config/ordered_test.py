"""Parts with names: one is changed, added, moved or taken out by a line; none is lost silently."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asrkit.config.build import build, check, filled
from asrkit.config.ordered import Ordered
from asrkit.config.yaml_loader import Spec, change, load
from asrkit.errors import UserError

BASE = """
parts:
  first: {size: 1}
  second: {size: 2, half: true}
"""


@dataclass
class Part:
    """A part.

    Args:
        size: How large it is.
        half: Whether it counts half.
    """

    size: int
    half: bool = False


@dataclass
class Whole:
    """What has parts.

    Args:
        parts: The parts.
    """

    parts: Ordered[Part]


def variant(folder: Path, text: str, *overrides: str, base: str = BASE) -> Spec:
    (folder / "base.yaml").write_text(base)
    (folder / "variant.yaml").write_text("extends: base.yaml\n" + text)
    return load(folder / "variant.yaml", overrides)


def sizes(spec: Spec) -> list[tuple[str, int]]:
    return [(name, part.size) for name, part in build(Whole, spec).parts.items()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("parts: {second: {size: 5}}", [("first", 1), ("second", 5)]),
        ("parts: {third: {size: 3}}", [("first", 1), ("second", 2), ("third", 3)]),
        ("parts: {first: null}", [("second", 2)]),
        ("parts: {order: [second, first]}", [("second", 2), ("first", 1)]),
        ("parts: []", []),
    ],
)
def test_a_variant_names_what_it_changes(
    tmp_path: Path, text: str, expected: list[tuple[str, int]]
) -> None:
    assert sizes(variant(tmp_path, text)) == expected


def test_what_a_variant_does_not_name_stays(tmp_path: Path) -> None:
    assert build(Whole, variant(tmp_path, "parts: {second: {size: 5}}")).parts["second"].half


def test_the_command_line_names_parts_too(tmp_path: Path) -> None:
    spec = variant(tmp_path, "", "parts.second.size=7", "parts.first=null")
    assert sizes(spec) == [("second", 7)]
    assert spec.source("parts.second.size") == "override"


def test_a_list_over_named_parts_is_refused_with_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"variant.yaml:2: parts: a list can't .* first, second"):
        variant(tmp_path, "parts: [{name: second, size: 5}]")
    with pytest.raises(UserError, match="a list can't be put over the parts first, second"):
        variant(tmp_path, "", "parts=[{name: second, size: 5}]")


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("[second]", "order: first is missing"),
        ("[first, second, thrid]", "order: unknown name 'thrid'; the parts are first, second"),
        ("[first, first, second]", "order: 'first' is listed twice"),
        ("first", "order: expected a list of names, got 'first'"),
    ],
)
def test_an_order_names_exactly_the_parts(tmp_path: Path, order: str, message: str) -> None:
    problems = check(Whole, variant(tmp_path, f"parts: {{order: {order}}}"))
    assert [message in str(problem) for problem in problems] == [True], problems


def test_lists_of_older_specs_are_read_and_changed_by_name(tmp_path: Path) -> None:
    base = "parts: [{name: first, size: 1}, {name: second, size: 2, half: true}]\n"
    assert sizes(variant(tmp_path, "", base=base)) == [("first", 1), ("second", 2)]
    spec = variant(tmp_path, "parts: {second: {size: 5}}", base=base)
    assert sizes(spec) == [("first", 1), ("second", 5)]
    assert spec.source("parts.second.half") == f"{tmp_path / 'base.yaml'}:1"
    assert sizes(variant(tmp_path, "", "parts.first.size=4", base=base))[0] == ("first", 4)
    assert sizes(variant(tmp_path, "", "parts[0].size=4", base=base))[0] == ("first", 4)


def test_parts_of_a_list_without_names_are_called_by_their_type() -> None:
    from asrkit.config.ordered import names_of

    items: list[Any] = [{"type": "masks"}, "masks", {"type": "noise"}, {"name": "own"}]
    assert names_of(items) == ["masks", "masks_2", "noise", "own"]
    with pytest.raises(ValueError, match="two parts are named 'a'"):
        names_of([{"name": "a"}, {"name": "a"}])


def test_stored_specs_say_the_order_and_numbers_of_older_changes_still_count(
    tmp_path: Path,
) -> None:
    tree = filled(Whole, variant(tmp_path, "parts: {order: [second, first]}").tree)
    assert tree["parts"]["order"] == ["second", "first"]
    change(tree, {"parts[0].size": 9}, without=["parts.first"])
    assert tree["parts"] == {"order": ["second"], "second": {"size": 9, "half": True}}
    with pytest.raises(UserError, match=r"unknown entry \[1\]; the parts are second"):
        change(tree, {"parts[1].size": 9})
    change(tree, {"parts.secnd.size": 9})
    assert "unknown part 'secnd'; did you mean 'second'?" in str(check(Whole, tree)[0])


def test_short_names_take_keys_of_a_variant(tmp_path: Path) -> None:
    spec = variant(tmp_path, "part: {size: 3}", base="part: large\n")
    assert spec.tree == {"part": {"type": "large", "size": 3}}
