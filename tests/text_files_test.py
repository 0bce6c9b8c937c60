"""Text is read and written in one way everywhere: by lines of `asrkit.files`, as UTF-8."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READER = ROOT / "asrkit" / "files.py"
OTHER_CHECKOUTS = ROOT / "tools" / "comparison"
"""Runs with the code of older checkouts, which may have no such reader."""
FILES = sorted(p for top in ("asrkit", "recipes", "tools") for p in (ROOT / top).rglob("*.py"))


def faults(tree: ast.AST) -> Iterator[str]:
    """Yields what a source file does that only `asrkit.files` may, or nobody."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            for fault in (_fault_of_lines(name, node), _fault_of_encoding(name, node)):
                if fault:
                    yield f"line {node.lineno}: {fault}"


def _fault_of_lines(name: str, call: ast.Call) -> str:
    chained = {n.attr for n in ast.walk(call.func) if isinstance(n, ast.Attribute)}
    if name == "splitlines":
        return "splitlines cuts at form feeds, U+0085, U+2028: use read_lines"
    if name == "split" and call.args and "read_text" in chained:
        return "files of lines are read by read_lines"
    if name == "open" and _mode(call) in ("r", "rt"):
        return "text is read by read_lines"
    if name in ("glob", "rglob") and not _is_partial(call):
        return "hidden files are no data: use matching"
    return ""


def _fault_of_encoding(name: str, call: ast.Call) -> str:
    given = {keyword.arg for keyword in call.keywords}
    if "encoding" in given:
        return ""
    if name in ("read_text", "write_text") and _is_method(call):
        return f"{name} without encoding follows the locale"
    if name == "open" and (mode := _mode(call)) is not None and "b" not in mode:
        return "open without encoding follows the locale"
    if name in ("run", "Popen", "check_output") and given & {"text", "universal_newlines"}:
        return "the output of a command without encoding follows the locale"
    return ""


def _is_method(call: ast.Call) -> bool:
    """Says whether it is a path's method, which takes no path, not the function of our own."""
    return isinstance(call.func, ast.Attribute) and len(call.args) < 2


def _is_partial(call: ast.Call) -> bool:
    """Says whether it looks for files that were not finished, which are hidden or not."""
    return bool(call.args) and "partial" in ast.unparse(call.args[0])


def _mode(call: ast.Call) -> str | None:
    """Returns the mode that a text file is opened in; None where something else is opened."""
    modes = [k.value for k in call.keywords if k.arg == "mode"]
    modes += call.args[:1] if isinstance(call.func, ast.Attribute) else call.args[1:2]
    if not modes:
        return "r"
    if isinstance(modes[0], ast.Constant) and str(modes[0].value).strip("rwaxbt+") == "":
        return str(modes[0].value)
    return None


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_text_files_are_read_and_written_in_one_way(path: Path) -> None:
    if path != READER and OTHER_CHECKOUTS not in path.parents:
        assert list(faults(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "text.splitlines()",
        "path.read_text(encoding='utf-8').split('\\n')",
        "path.read_text(encoding='utf-8').strip().split('\\n')",
        "path.read_text()",
        "path.write_text('a')",
        "open(path)",
        "path.open()",
        "path.open(encoding='utf-8')",
        "path.open('w')",
        "folder.glob('*.stm')",
        "subprocess.run(command, text=True)",
    ],
)
def test_each_fault_is_found(code: str) -> None:
    assert list(faults(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "path.read_text(encoding='utf-8')",
        "path.read_text(encoding='utf-8').split()",
        "write_text(path, 'a')",
        "path.open('w', encoding='utf-8')",
        "path.open('rb')",
        "folder.glob('*.partial*')",
        "subprocess.run(command, text=True, encoding='utf-8', errors='replace')",
        "line.split('\\t')",
        "tarfile.open(archive)",
        "path.read_bytes().split(b'\\n')",
        "Source(name, path, text=text)",
    ],
)
def test_what_is_right_is_no_fault(code: str) -> None:
    assert list(faults(ast.parse(code))) == []


PROGRAMS = [p for p in FILES if '__name__ == "__main__"' in p.read_text(encoding="utf-8")]
MEASURING = {ROOT / "tools" / "benchmark", ROOT / "tools" / "parity", OTHER_CHECKOUTS}
"""Programs there print numbers, and run with other toolkits or older code."""
ALONE = ROOT / "tools" / "dump_tensorflow.py"
"""It runs where asrkit is not installed."""


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: str(p.relative_to(ROOT)))
def test_programs_use_utf8_in_every_locale(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    elsewhere = path == ALONE or path.parent in MEASURING
    assert "use_utf8()" in text or "from asrkit.cli import main" in text or elsewhere
