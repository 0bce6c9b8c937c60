from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from torch import nn

from asrkit.config.build import build, check, dry_build, filled
from asrkit.config.problems import SpecError
from asrkit.config.registry import Factory, Registry
from asrkit.config.yaml_loader import load


class Shape:
    """A toy interface."""

    size: float


shapes: Registry[Shape] = Registry("shape", Shape, late=("scale",))


@shapes.register("circle")
class Circle(Shape):
    """Round.

    Args:
        scale: Factor.
        radius: Size.
    """

    def __init__(self, scale: float, radius: float) -> None:
        if radius < 0:
            raise ValueError(f"radius ({radius}) must not be negative")
        self.size = scale * radius


@shapes.register("square")
class Square(Shape):
    """Angular.

    Args:
        scale: Factor.
        side: Size.
        label: Name.
    """

    def __init__(self, scale: float, side: int = 3, label: str | None = None) -> None:
        self.size = scale * side
        self.label = label


@dataclass(frozen=True)
class Options:
    count: int = 2
    flag: bool = False


class Picture:
    def __init__(
        self,
        main: Factory[Shape],
        others: list[Factory[Shape]],
        options: Options = Options(),  # noqa: B008
        default: Factory[Shape] = Square,
        named: dict[str, int] = {},  # noqa: B006
        path: Path = Path("here"),
    ) -> None:
        self.main = main(scale=2.0)
        self.others = [other(scale=1.0) for other in others]
        self.options = options
        self.default = default(scale=5.0)
        self.named, self.path = named, path


GOOD = {"main": {"type": "circle", "radius": 2}, "others": ["square"]}


def messages(spec: object) -> list[str]:
    return [str(problem) for problem in check(Picture, spec)]


def test_builds_parts_with_late_arguments_and_defaults() -> None:
    picture = build(Picture, {**GOOD, "options": {"count": 7}, "named": {"a": 1}, "path": "x"})
    assert picture.main.size == 4.0
    assert [shape.size for shape in picture.others] == [3.0]
    assert picture.options == Options(count=7)
    assert picture.default.size == 15.0
    assert picture.named == {"a": 1}
    assert picture.path == Path("x")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"main": {"type": "circle", "radius": 1, "radios": 1}}, "did you mean 'radius'?"),
        ({"main": {"type": "circle"}}, "missing key 'radius' (a number) of shape 'circle'"),
        (
            {"main": {"type": "circel", "radius": 1}},
            "unknown shape 'circel'; did you mean 'circle'",
        ),
        ({"main": {"radius": 1}}, "missing key 'type'; a shape is one of circle, square"),
        ({"main": {"type": "circle", "radius": 1, "scale": 2.0}}, "the enclosing part supplies it"),
        ({"main": {"type": "circle", "radius": "big"}}, "expected a number, got the text 'big'"),
        ({"main": {"type": "circle", "radius": float("nan")}}, "expected a number, got nan"),
        ({"others": [{"type": "square", "side": True}]}, "others[0].side: expected a whole number"),
        ({"others": {"type": "square"}}, "others: expected a list"),
        ({"options": {"flag": 1}}, "options.flag: expected true or false, got 1"),
        ({"named": {"a": "b"}}, "named.a: expected a whole number"),
        ({"main": None}, "expected a name or a mapping with `type`, got None"),
        ({"others": [{"type": "square", "label": 3}]}, "expected a text"),
    ],
)
def test_names_what_is_wrong(change: dict[str, object], expected: str) -> None:
    found = messages({**GOOD, **change})
    assert len(found) == 1
    assert expected in found[0]


def test_reports_all_problems_at_once_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("main: {type: circle, radios: 1}\nothers:\n  - type: squar\nfoo: 3\n")
    found = messages(load(path))
    assert len(found) == 4, found
    assert any(text.startswith(f"{path}:4: foo: unknown key") for text in found)
    assert any(text.startswith(f"{path}:3: others[0].type: unknown shape") for text in found)


def test_build_refuses_with_every_problem() -> None:
    with pytest.raises(SpecError, match="(?s)unknown key.*radius"):
        build(Picture, {"main": {"type": "circle"}, "others": [], "foo": 1})


def test_constructor_problem_names_the_key_path() -> None:
    with pytest.raises(SpecError, match=r"main: radius \(-1.0\) must not be negative"):
        build(Picture, {"main": {"type": "circle", "radius": -1}, "others": []})


def test_filled_writes_every_default() -> None:
    assert filled(Picture, GOOD) == {
        "main": {"type": "circle", "radius": 2.0},
        "others": [{"type": "square", "side": 3, "label": None}],
        "options": {"count": 2, "flag": False},
        "default": {"type": "square", "side": 3, "label": None},
        "named": {},
        "path": "here",
    }


def test_filled_tree_builds_the_same() -> None:
    tree = filled(Picture, GOOD)
    assert filled(Picture, tree) == tree


class Part(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        if size % 2:
            raise ValueError(f"size ({size}) must be even")
        self.size = size
        self.weight = nn.Linear(size, size)


class Whole(nn.Module):
    def __init__(self, first: Part, second: Part, third: Part) -> None:
        super().__init__()
        self.total = first.size + second.size + third.size


def test_dry_build_finds_several_refused_parts_and_makes_no_data() -> None:
    spec = {"first": {"size": 3}, "second": {"size": 4}, "third": {"size": 5}}
    found = dry_build(Whole, spec)
    assert [problem.path for problem in found] == ["first", "third"]
    assert (
        dry_build(Whole, {name: {"size": 10**7} for name in spec}) == []
    )  # 100 TB if it were real


@dataclass(frozen=True)
class WithFactory:
    names: list[str] = field(default_factory=lambda: ["a"])


def test_dataclass_factories_are_filled() -> None:
    assert filled(WithFactory, {}) == {"names": ["a"]}


def test_registry_refuses_a_name_twice() -> None:
    with pytest.raises(ValueError, match="shape 'circle' is already registered"):
        shapes.register("circle")(Square)


def test_inherited_fields_of_a_dataclass_keep_the_names_of_their_module(tmp_path: Path) -> None:
    (tmp_path / "first_part.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "from pathlib import Path\n@dataclass\nclass First:\n    place: Path\n"
    )
    (tmp_path / "second_part.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "import first_part\n@dataclass\nclass Second(first_part.First):\n    size: int\n"
    )
    code = "from asrkit.config.signatures import type_hints; import second_part; "
    code += "print(sorted(type_hints(second_part.Second)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "['place', 'size']\n", done.stderr
