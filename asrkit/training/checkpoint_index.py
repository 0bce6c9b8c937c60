"""The checkpoints of a folder: from index.json, or from the files themselves."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from asrkit.errors import UserError
from asrkit.files import matching, write_text
from asrkit.records import read_json
from asrkit.run_folder import INDEX
from asrkit.training.checkpoint_files import peek

log = logging.getLogger(__name__)

UNKNOWN = math.inf
"""The dev objective of a finished epoch whose checkpoint lacks it: the worst possible."""


@dataclass(frozen=True)
class Entry:
    """A checkpoint in the index; the dev objective is None if the epoch had not ended."""

    step: int
    epoch: int
    dev: float | None

    @property
    def name(self) -> str:
        """The file name."""
        return f"step-{self.step:08d}.pt"

    @property
    def objective(self) -> float:
        """The dev objective where checkpoints are compared: none is worse than NaN."""
        return math.inf if self.dev is None or math.isnan(self.dev) else self.dev

    @property
    def can_be_best(self) -> bool:
        """Whether its epoch has ended, with a number."""
        return self.dev is not None and not math.isnan(self.dev)


@dataclass(frozen=True)
class Row:
    """A checkpoint in index.json: JSON has no NaN and no infinity, so these are words."""

    step: int
    epoch: int
    dev: float | str | None

    def entry(self) -> Entry:
        """Returns the checkpoint; a word that is not a number counts as NaN."""
        if isinstance(self.dev, str):
            return Entry(self.step, self.epoch, math.inf if self.dev == "inf" else math.nan)
        return Entry(self.step, self.epoch, self.dev)


def by_objective(entries: Iterable[Entry]) -> list[Entry]:
    """Returns the checkpoints that can be best, the best first; the newer one if equal."""
    return sorted((e for e in entries if e.can_be_best), key=lambda e: (e.objective, -e.step))


def by_age(entries: Iterable[Entry]) -> list[Entry]:
    """Returns the checkpoints, the newest first."""
    return sorted(entries, key=lambda e: -e.step)


def read_index(folder: Path) -> list[Entry]:
    """Returns the checkpoints of a folder whose files are there.

    An index that is missing or damaged is rebuilt in memory from the files.

    Raises:
        UserError: If it lists checkpoints, and none of them is there.
    """
    path = folder / INDEX
    files = checkpoint_files(folder)
    if not path.is_file():
        return _from_files(files, f"{path} is missing") if files else []
    try:
        listed = [row.entry() for row in read_json(path, list[Row])]
    except UserError as error:
        if not files:
            raise UserError(
                f"{path} is damaged, and there is no checkpoint next to it: restore both, or "
                "delete "
                "it to start over"
            ) from error
        return _from_files(files, f"{path} is damaged")
    return _present(path, listed, files)


def _present(path: Path, listed: Sequence[Entry], files: Sequence[Path]) -> list[Entry]:
    names = {file.name for file in files}
    present = [entry for entry in listed if entry.name in names]
    gone = [entry.name for entry in listed if entry.name not in names]
    if not listed and files:
        return _from_files(files, f"{path} lists nothing")
    if gone and not files:
        raise UserError(
            f"{path} lists {len(gone)} checkpoints ({', '.join(gone)}), none of which is there: "
            f"restore them, or delete {path} to start over"
        )
    if gone and not present:
        return _from_files(files, f"{path} lists only checkpoints that are gone")
    if gone:
        _warn_once(f"{path} lists checkpoints that are gone: {', '.join(gone)}")
    return present


def write_index(folder: Path, entries: Sequence[Entry]) -> None:
    """Writes the index of a folder."""
    rows = [{"step": e.step, "epoch": e.epoch, "dev": _writable(e.dev)} for e in entries]
    text = json.dumps(rows, indent=1) + "\n"
    path = folder / INDEX
    if not path.is_file() or path.read_bytes() != text.encode(
        "utf-8"
    ):  # what is newer is done again
        write_text(path, text)


def _writable(dev: float | None) -> float | str | None:
    return dev if dev is None or math.isfinite(dev) else str(dev)


def checkpoint_files(folder: Path) -> list[Path]:
    """Returns the files of a folder that are named like checkpoints."""
    return [path for path in matching(folder, "step-*.pt") if path.stem[5:].isdecimal()]


def described(state: dict[str, Any], path: Path) -> Entry:
    """Returns the index entry of a checkpoint, from its content.

    Args:
        state: What the file holds.
        path: The file, for the message.

    Raises:
        UserError: If its step and epoch are not in it.
    """
    try:
        if "saved" in state:
            return Entry(**state["saved"])
        progress = state["progress"]  # of a version that did not write it
        finished = progress["batch"] == 0
        epoch = progress["epoch"] - finished
        return Entry(int(progress["step"]), int(epoch), UNKNOWN if finished else None)
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} does not say which step it is of") from error


def adopted(path: Path) -> Entry | None:
    """Returns the entry of a file that no index lists, or None with a warning if it is damaged."""
    try:
        entry = described(peek(path), path)
        if entry.name != path.name:
            raise UserError(f"{path} holds another checkpoint: {entry.name}")
    except UserError as error:
        _warn_once(f"{error}; it is left out")
        return None
    return entry


def _from_files(files: Sequence[Path], why: str) -> list[Entry]:
    """Returns the entries of all files that can be read.

    Raises:
        UserError: If there is none.
    """
    entries = [entry for entry in map(adopted, files) if entry is not None]
    if not entries:
        raise UserError(
            f"{why}, and no checkpoint next to it can be read: restore one, or start over in "
            "another --run folder"
        )
    _warn_once(f"{why}: rebuilt from the {len(entries)} checkpoints next to it")
    return entries


@cache
def _warn_once(message: str) -> None:
    log.warning("%s", message)
