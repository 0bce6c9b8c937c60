"""YAML that would take for ever, recurse or overflow: one message with file and line, at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from asrkit.cli import main
from asrkit.config.yaml_loader import files_of, load
from asrkit.errors import UserError

LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x]", *(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]" for n in range(1, 30))]
)
HOSTILE = {
    "laughs": (LAUGHS, r"x.yaml:[0-9]+: has more than 20000 values"),
    "list in itself": (
        "seed: &a [*a]",
        "x.yaml:1: an alias .* is inside the node that it refers to",
    ),
    "mapping in itself": ("b:\n  a: &a {c: [{d: *a}]}", "x.yaml:2: an alias"),
    "lists": (
        "a:\n  " + "[" * 9000 + "]" * 9000,
        "x.yaml:2: .*more than 50 nested mappings",
    ),
    "mappings": ("a: " + "{b: " * 9000 + "}" * 9000, "x.yaml:1: .*more than 50"),
    "blocks": ("\n".join(" " * n + "a:" for n in range(500)), "x.yaml:5[0-9]: .*more than 50"),
    "aliases in a chain": (
        "\n".join(["a0: &a0 [1]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 300))]),
        "more than 50 nested mappings",
    ),
    "digits": ("a: 1\nseed: " + "9" * 5000, "x.yaml:2: a number of 5000 digits"),
    "digits of a float": ("seed: 1." + "9" * 5000, "x.yaml:1: a number of 5002 digits"),
    "hexadecimal digits": ("seed: 0x" + "f" * 5000, "x.yaml:1: a number of 5002 digits"),
    "more than 64 bits": ("seed: 18446744073709551616", "x.yaml:1: the number 1844.* is too large"),
    "beyond floats": ("a: 1e999", "x.yaml:1: the number 1e999 is too large"),
    "large": ("a: " + "x" * 300_000, "x.yaml: has more than 256 kB"),
    "many values": ("a: [" + "1," * 30_000 + "]", "x.yaml:1: has more than 20000"),
    "a list as key": ("? [a, b]\n: c", "x.yaml:1: a key must be a name"),
    "a control character in a key": ('"a\\e[31mb": 1', "x.yaml:1: .* control characters"),
    "zeros": ("\0\0\0", "x.yaml: not valid YAML"),
    "a tag": ("a: !!set {b}", "x.yaml:1: the tag"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_at_once(tmp_path: Path, kind: str) -> None:
    text, message = HOSTILE[kind]
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    began = time.process_time()
    with pytest.raises(UserError, match=message):
        load(tmp_path / "x.yaml")
    assert time.process_time() - began < 5


@pytest.mark.parametrize("value", ["[" * 5000, "9" * 5000, "&a [*a]", "1e999", "{a: [}"])
def test_hostile_overrides_are_refused(tmp_path: Path, value: str) -> None:
    (tmp_path / "x.yaml").write_text("a: 1\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"override 'a="):
        load(tmp_path / "x.yaml", ["a=" + value])


def test_key_paths_have_an_end(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: [1]\n", encoding="utf-8")
    for key in (".".join("b" * 5000), "a[" + "9" * 5000 + "]"):
        with pytest.raises(UserError, match="expected key=value"):
            load(tmp_path / "x.yaml", [key + "=1"])


def test_not_utf_8_is_told_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(UserError, match=r"x.yaml:2: can't be read as UTF-8"):
        load(tmp_path / "x.yaml")
    with pytest.raises(UserError, match="can't be read"):
        load(tmp_path)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: 1\n", encoding="utf-8-sig")
    assert load(tmp_path / "x.yaml").tree == {"a": 1}


def test_files_that_are_extended_twice_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "t0.yaml").write_text("a: {b: 1}\n", encoding="utf-8")
    for n in range(1, 40):
        text = f"extends: [t{n - 1}.yaml, t{n - 1}.yaml]\nc{n}: 1\n"
        (tmp_path / f"t{n}.yaml").write_text(text, encoding="utf-8")
    spec = load(tmp_path / "t39.yaml")
    assert spec.tree["a"] == {"b": 1}
    assert spec.source("a.b") == f"{tmp_path}/t0.yaml:1"
    assert len(files_of(tmp_path / "t39.yaml")) == 40


def test_chains_and_lists_of_bases_have_an_end(tmp_path: Path) -> None:
    (tmp_path / "c0.yaml").write_text("a: 1\n", encoding="utf-8")
    for n in range(1, 1500):
        (tmp_path / f"c{n}.yaml").write_text(f"extends: c{n - 1}.yaml\n", encoding="utf-8")
    (tmp_path / "many.yaml").write_text(f"extends: [{'c0.yaml, ' * 9000}]\n", encoding="utf-8")
    for name in ("c1499", "many"):
        with pytest.raises(UserError, match=r"yaml:1: extends: more than 100 files"):
            load(tmp_path / f"{name}.yaml")


def test_files_of_a_spec_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "top.yaml").write_text('extends:\n  - "a b.yaml"  # first\n  - sub/c.yaml\n')
    (tmp_path / "a b.yaml").write_text("extends: 'sub/c.yaml'\n")
    (tmp_path / "sub" / "c.yaml").write_text("seed: 1\n")
    (tmp_path / "loop.yaml").write_text("extends: [loop2.yaml]\n")
    (tmp_path / "loop2.yaml").write_text("extends: loop.yaml\n")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["files", "spec", "top.yaml", "sub/c.yaml"])
    assert result.stdout.split("\n") == ["top.yaml", "a b.yaml", "sub/c.yaml", ""]
    result = CliRunner().invoke(main, ["files", "spec", "loop.yaml"])
    assert result.exit_code == 2
    assert "loop.yaml: extends itself" in result.output.replace("\n", "")


def test_null_on_the_command_line_removes_a_part_as_it_does_in_files(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("heads: {x: {type: ctc, weight: 1}, y: {type: ctc}}\n")
    (tmp_path / "file.yaml").write_text("extends: base.yaml\nheads: {x: null}\n")
    overridden = load(tmp_path / "base.yaml", ["heads.x=null"])
    assert overridden.tree == load(tmp_path / "file.yaml").tree == {"heads": {"y": {"type": "ctc"}}}
    assert overridden.source("heads.x.weight") is None


def test_overrides_leave_the_places_of_other_keys(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("heads:\n  x: {type: ctc, weight: 1}\n")
    spec = load(tmp_path / "x.yaml", ["heads={x: {weight: 2}, y: {type: rnn}}"])
    assert spec.source("heads.x.type") == f"{tmp_path}/x.yaml:2"
    assert spec.source("heads.x.weight") == spec.source("heads.y.type") == "override"
