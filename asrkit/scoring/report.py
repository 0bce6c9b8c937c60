"""What reports share: Markdown tables, and the files of run folders that they are made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asrkit.errors import UserError
from asrkit.files import read_lines

NONE = "–"
"""Stands where there is nothing to report."""


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table whose columns are aligned in the source, too."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    cells = [[cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"


def folded(title: str, text: str) -> str:
    """Returns lines that are shown once their title is clicked on."""
    return f"<details><summary>{title}</summary>\n\n```\n{text}\n```\n\n</details>\n"


def read_json(path: Path) -> dict[str, Any]:
    """Returns what a JSON file of a run folder holds.

    Raises:
        UserError: If it is missing or damaged.
    """
    try:
        result: dict[str, Any] = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is damaged: {error}; delete it and make it again") from error
    return result


def read_text(path: Path) -> str:
    """Returns the text of a file of a run folder.

    Raises:
        UserError: If it is missing.
    """
    return existing(path).read_text(encoding="utf-8")


def existing(path: Path) -> Path:
    """Returns the path of a file of a run folder.

    Raises:
        UserError: If it is missing.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing from its run folder")
    return path


def commands_of(run: Path) -> list[str]:
    """Returns the commands that made a run folder, in the order they were first given."""
    path = run / "commands.txt"
    return list(read_lines(path)) if path.is_file() else []
