"""What reports share: the files of run folders that they are made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from asrkit.errors import UserError

NONE = "–"
"""Stands where there is nothing to report."""


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
