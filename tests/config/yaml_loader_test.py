from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from asrkit.config.yaml_loader import dump, load, override, scalar
from asrkit.errors import UserError


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("5", 5),
        ("-.5", -0.5),
        ("on", "on"),
        ("no", "no"),
        ("1:30", "1:30"),
        ("0o17", 15),
        ("0x1F", 31),
        ("true", True),
        ("~", None),
        (".inf", float("inf")),
        ("2026-11-21", "2026-11-21"),
        ("1_000", "1_000"),
    ],
)
def test_scalars_are_yaml_1_2(text: str, value: Any) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_quoted_scalars_are_text(tmp_path: Path) -> None:
    assert load(write(tmp_path, "a.yaml", "a: '5'\nb: \"true\"\n")).tree == {"a": "5", "b": "true"}


def test_duplicate_keys_are_refused_with_both_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "a.yaml", "a: 1\nb: 2\na: 3\n")
    with pytest.raises(UserError, match=r"a.yaml:3: key 'a' is given twice, first in line 1"):
        load(path)


def test_tags_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.yaml", "a: !!python/object/apply:os.system [ls]\n")
    with pytest.raises(UserError, match="is not allowed"):
        load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [1", "not valid YAML"), ("- 1\n", "a spec is a mapping"), ("a: 1\n\tb: 2", "a.yaml:2")],
)
def test_malformed_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(write(tmp_path, "a.yaml", text))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no spec file"):
        load(tmp_path / "none.yaml")


def test_extends_merges_mappings_and_replaces_lists_and_types(tmp_path: Path) -> None:
    write(
        tmp_path,
        "base.yaml",
        "m: {type: a, x: 1, y: 2}\nl: [1, 2]\nk: {p: 1, q: 2}\nn: {type: a, x: 1}\n",
    )
    path = write(
        tmp_path,
        "child.yaml",
        "extends: base.yaml\nm: {type: b, z: 3}\nl: [3]\nk: {q: 5}\nn: {x: 7}\n",
    )
    spec = load(path)
    assert spec.tree == {
        "m": {"type": "b", "z": 3},
        "l": [3],
        "k": {"p": 1, "q": 5},
        "n": {"type": "a", "x": 7},
    }
    assert spec.source("k.p") == f"{tmp_path / 'base.yaml'}:3"
    assert spec.source("k.q") == f"{path}:4"
    assert spec.source("m.x") is None


def test_null_takes_out_a_mapping_of_the_base(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", "heads: {a: {type: x, w: 1}, b: {type: y, w: null}}\nn: 1\n")
    path = write(tmp_path, "child.yaml", "extends: base.yaml\nheads: {a: null}\nn: null\n")
    spec = load(path)
    assert spec.tree == {"heads": {"b": {"type": "y", "w": None}}, "n": None}
    assert spec.source("heads.a.w") is None


def test_extends_in_a_circle_and_of_a_missing_file(tmp_path: Path) -> None:
    path = write(tmp_path, "a.yaml", "extends: b.yaml\n")
    with pytest.raises(UserError, match=r"a.yaml:1: extends: there is no file"):
        load(path)
    write(tmp_path, "b.yaml", "extends: a.yaml\n")
    with pytest.raises(UserError, match="extends itself"):
        load(path)


def test_overrides_change_values_and_their_source(tmp_path: Path) -> None:
    path = write(tmp_path, "a.yaml", "a: {b: [{c: 1}, {c: 2}]}\nshort: name\n")
    spec = load(path, ["a.b[1].c=1e-3", "new.key=[1, x]", "short.size=4"])
    assert spec.tree["a"]["b"] == [{"c": 1}, {"c": 1e-3}]
    assert spec.tree["new"] == {"key": [1, "x"]}
    assert spec.tree["short"] == {"type": "name", "size": 4}
    assert spec.source("a.b[1].c") == "override"


@pytest.mark.parametrize("text", ["a", "=1", "a.b[9].c=1", "a..b=1", "a.b.c=1", "a=[1"])
def test_bad_overrides_are_quoted(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, "a.yaml", "a: {b: [1]}\n")
    with pytest.raises(UserError, match="override"):
        load(path, [text])


trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-99, 99)
    | st.floats(allow_nan=False)
    | st.text("ab1: -#'\"eon", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", min_size=1), trees, max_size=4))
def test_dumped_trees_load_again(tree: dict[str, Any]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.yaml"
        dump(tree, path)
        if "extends" not in tree:
            assert load(path).tree == tree
        assert yaml.safe_load(path.read_text()) is not None


def test_override_leaves_the_tree_alone() -> None:
    tree = {"a": {"b": 1}}
    assert override(tree, ["a.b=2"]) == {"a": {"b": 2}}
    assert tree == {"a": {"b": 1}}
