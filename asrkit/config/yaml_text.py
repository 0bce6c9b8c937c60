"""From YAML text to plain values, in bounded time and memory, and back.

Specs come from other people: a text of a few lines may name itself, nest thousands deep or stand
for billions of values. All of that is refused with file and line before anything is made of it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NoReturn

import yaml

from asrkit.config.key_paths import join
from asrkit.errors import UserError
from asrkit.files import replaced

MAX_BYTES = 1 << 18
"""Of one file. A spec with all defaults written out has about 10 kB."""
MAX_DEPTH = 50
"""Of mappings and lists in one another."""
MAX_VALUES = 20_000
"""Of one file, aliases (*name) written out."""

_INT = re.compile(r"[-+]?[0-9]+$")
_OCTAL = re.compile(r"0o[0-7]+$")
_HEX = re.compile(r"0x[0-9a-fA-F]+$")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_LONGEST_NUMBER = 40
"""Digits: no number in use is longer, and Python takes quadratic time for long ones."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_TAGS = {"map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value"}
"""PyYAML's tags of plain values before their YAML 1.2 type is known."""
_SPECIAL = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


def read_yaml(path: Path, sources: dict[str, str] | None = None) -> Any:
    """Returns what a YAML file holds.

    Args:
        path: The file.
        sources: Gets "file:line" of each value, by its key path.

    Raises:
        UserError: If it is missing, too large, or no plain YAML.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"there is no spec file {path}") from None
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise UserError(f"{path}: has more than {MAX_BYTES >> 10} kB; is it a spec file?")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: can't be read as UTF-8 text: {error}") from error
    return parse(text, str(path), sources)


def parse(text: str, name: str, sources: dict[str, str] | None = None) -> Any:
    """Returns the plain values of a YAML text.

    Args:
        text: The text.
        name: What messages call it: a file's path.
        sources: Gets "name:line" of each value, by its key path.

    Raises:
        UserError: If it is not valid YAML, has other than plain values, or is too deep or large.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark is not None else name
        said = getattr(error, "problem", None) or " ".join(str(error).split())
        raise UserError(f"{where}: not valid YAML: {said}") from error
    if node is None:
        return None
    return _Construction(name, {} if sources is None else sources).value(node, "")


def scalar(text: str) -> Any:
    """Returns the value of an unquoted scalar by the YAML 1.2 core schema.

    Raises:
        ValueError: If it is a number that no computer number is near.
    """
    if text in _SPECIAL:
        return _SPECIAL[text]
    is_int, is_float = _INT.match(text), _FLOAT.match(text)
    is_other = _OCTAL.match(text) or _HEX.match(text)
    if not (is_int or is_float or is_other):
        return text
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"a number of {len(text)} digits; quote it if it is text")
    if is_int or is_other:
        number = int(text) if is_int else int(text, 0)
        if not -(2**63) <= number < 2**63:
            raise ValueError(f"the number {text} is too large; quote it if it is text")
        return number
    if float(text) in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text} is too large; infinity is written .inf")
    return float(text)


def dump(tree: Any, path: Path) -> None:
    """Writes a tree as YAML."""
    with replaced(path) as partial, partial.open("w", encoding="utf-8") as file:
        yaml.dump(tree, file, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Loader(yaml.SafeLoader):
    """Composes nodes as PyYAML does, down to a depth."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            problem = f"more than {MAX_DEPTH} nested mappings and lists"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=self.get_mark())
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Construction:
    """Makes plain values of the nodes of one text.

    Args:
        name: What messages call the text.
        sources: Gets "name:line" by key path.
    """

    def __init__(self, name: str, sources: dict[str, str]) -> None:
        self.name = name
        self.sources = sources
        self.around: list[yaml.Node] = []
        self.values = 0

    def value(self, node: yaml.Node, path: str) -> Any:
        """Returns the value of a node at a key path."""
        self.values += 1
        if self.values > MAX_VALUES:
            self.refuse(node, f"has more than {MAX_VALUES} values with aliases expanded")
        if path:
            self.sources[path] = self.where(node)
        if node.tag.removeprefix("tag:yaml.org,2002:") not in _TAGS:
            self.refuse(node, f"the tag {node.tag!r} is not allowed; specs have plain values")
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        if any(node is outer for outer in self.around):
            self.refuse(node, "an alias (*name) is inside the node that it refers to")
        if len(self.around) >= MAX_DEPTH:
            self.refuse(node, f"more than {MAX_DEPTH} nested mappings and lists")
        self.around.append(node)
        result = self.inside(node, path)
        self.around.pop()
        return result

    def inside(self, node: yaml.Node, path: str) -> Any:
        """Returns the list or mapping of a node."""
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        return [self.value(item, join(path, index)) for index, item in enumerate(node.value)]

    def mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Any]:
        """Returns a mapping, whose keys are texts."""
        result: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = self.key(key_node), key_node.start_mark.line + 1
            if key in lines:
                self.refuse(key_node, f"key {key!r} is given twice, first in line {lines[key]}")
            lines[key] = line
            result[key] = self.value(value_node, join(path, key))
            self.sources[join(path, key)] = f"{self.name}:{line}"
        return result

    def key(self, node: yaml.Node) -> str:
        """Returns a key."""
        if not isinstance(node, yaml.ScalarNode):
            self.refuse(node, "a key must be a name, not a list or mapping")
        key = str(node.value)
        if key == "<<":
            self.refuse(node, "merge keys (<<) are not supported; use extends:")
        if not key or _CONTROL.search(key):
            self.refuse(node, f"{key!r} is not a key: it is empty or has control characters")
        return key

    def scalar(self, node: yaml.ScalarNode) -> Any:
        """Returns the value of a text, number, truth value or null."""
        if node.style in ("'", '"', "|", ">"):
            return node.value
        try:
            return scalar(node.value)
        except ValueError as error:
            self.refuse(node, str(error))

    def where(self, node: yaml.Node) -> str:
        """Returns the place of a node, for messages."""
        return f"{self.name}:{node.start_mark.line + 1}"

    def refuse(self, node: yaml.Node, why: str) -> NoReturn:
        """Raises what is wrong with a node."""
        raise UserError(f"{self.where(node)}: {why}")


class _Dumper(yaml.SafeDumper):
    """Writes floats and strings so that both YAML 1.1 and 1.2 readers agree on them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_float(dumper: yaml.SafeDumper, value: float) -> yaml.Node:
    text = repr(value)
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    special = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}
    return dumper.represent_scalar("tag:yaml.org,2002:float", special.get(text, text))


_Dumper.add_representer(float, _represent_float)
