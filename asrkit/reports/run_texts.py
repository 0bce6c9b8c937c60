"""What reports share: the files of run folders that they are made of."""

from __future__ import annotations

from pathlib import Path

from asrkit.errors import UserError
from asrkit.run_files import Summary

NONE = "–"
"""Stands where there is nothing to report."""


def rtf_text(summary: Summary) -> str:
    """Returns the real-time factor of a decoded set; there is none where there was no audio."""
    return NONE if summary.rtf is None else f"{summary.rtf:.4f}"


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
