"""Checkpoints: written to a temporary name, synced, renamed; best and last ones are kept."""

from __future__ import annotations

import errno
import json
import logging
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asrkit.errors import UserError
from asrkit.files import replaced, write_text

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A checkpoint in the index: the dev objective is None where the epoch had not ended."""

    step: int
    epoch: int
    dev: float | None

    @property
    def name(self) -> str:
        """The file name."""
        return f"step-{self.step:08d}.pt"


class CheckpointStore:
    """The checkpoints of one run.

    Args:
        folder: Where they are.
        keep_best: How many of the lowest dev objectives are kept.
        keep_last: How many of the newest are kept.
        keep_epochs: How many of the newest of finished epochs are kept.
    """

    def __init__(
        self, folder: Path, keep_best: int = 5, keep_last: int = 2, keep_epochs: int = 0
    ) -> None:
        self.folder, self.keep_epochs = folder, keep_epochs
        self.keep_best, self.keep_last = keep_best, keep_last
        folder.mkdir(parents=True, exist_ok=True)
        for partial in folder.glob("*.partial*"):  # of a process that was killed
            partial.unlink()
        self.entries = read_index(folder)

    def save(self, state: dict[str, Any], step: int, epoch: int, dev: float | None) -> None:
        """Writes a checkpoint, then removes those that need not be kept.

        Raises:
            UserError: If it can't be written, as on a full disk.
        """
        entry = Entry(step, epoch, dev)
        write_atomic(state, self.folder / entry.name)
        self.entries = [e for e in self.entries if e.step != step] + [entry]
        kept = self._kept()
        removed = [e for e in self.entries if e not in kept]
        self.entries = [e for e in self.entries if e in kept]
        write_index(self.folder, self.entries)
        for old in removed:
            (self.folder / old.name).unlink(missing_ok=True)

    def load_newest(self) -> dict[str, Any] | None:
        """Returns the newest checkpoint that can be read, or None where there is none.

        A damaged one is reported and set aside, and the one before it is used.

        Raises:
            UserError: If there are checkpoints and all are damaged: a training must not begin anew
                unasked.
        """
        newest_first = sorted(self.entries, key=lambda e: -e.step)
        for position, entry in enumerate(newest_first, start=1):
            try:
                state = load(self.folder / entry.name)
            except UserError as error:
                if position == len(newest_first):
                    raise UserError(
                        f"{error}; no checkpoint before it can be read, either: restore one, or "
                        "begin anew in another --run folder"
                    ) from error
                log.warning("%s; the checkpoint before it is used", error)
                self.entries = [e for e in self.entries if e is not entry]
                continue
            return state
        return None

    def _kept(self) -> list[Entry]:
        finished = [e for e in self.entries if e.dev is not None]
        best = sorted(finished, key=lambda e: (e.dev, -e.step))[: self.keep_best]
        last = sorted(self.entries, key=lambda e: -e.step)[: max(self.keep_last, 1)]
        last += sorted(finished, key=lambda e: -e.step)[: self.keep_epochs]
        return [e for e in self.entries if e in best or e in last]


@dataclass(frozen=True)
class ReloadBest:
    """Goes back to a better one of the last epochs before the next one begins.

    Args:
        last: How many of the last epochs are compared, the newest one included.
        margin: By how much the dev objective must be better than that of the newest.
        from_epoch: Earlier epochs are not compared.

    Source: the option `use_last_best_model` of the reference system for transducers.
    """

    last: int
    margin: float = 0.0
    from_epoch: int = 1

    def __post_init__(self) -> None:
        if self.last < 2 or self.margin < 0:
            raise ValueError(
                f"last ({self.last}) must be at least 2, margin ({self.margin}) at least 0"
            )

    def choose(self, entries: Sequence[Entry], newest: int) -> Entry | None:
        """Returns the checkpoint to go back to after epoch `newest`, if there is a better one."""
        devs = {e.epoch: (e.dev, e) for e in entries if e.dev is not None}
        first = max(self.from_epoch, newest - self.last + 1)
        compared = [devs[epoch] for epoch in range(first, newest) if epoch in devs]
        if newest not in devs or not compared:
            return None
        dev, best = min(compared, key=lambda pair: pair[0])
        return best if dev + self.margin < devs[newest][0] else None


def write_atomic(state: dict[str, Any], path: Path) -> None:
    """Writes tensors and plain containers so that the path never holds half a file.

    Raises:
        UserError: If it can't be written; nothing older is touched.
    """
    try:
        with replaced(path) as partial, partial.open("wb") as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:
        full = getattr(error, "errno", None) == errno.ENOSPC or "No space" in str(error)
        why = "the disk is full" if full else str(error)
        raise UserError(
            f"can't write {path}: {why}; the checkpoints before it are intact: make room, then "
            "start the same command again"
        ) from error


def read_index(folder: Path) -> list[Entry]:
    """Returns the checkpoints of a folder whose files are there.

    Raises:
        UserError: If the list of them is damaged.
    """
    path = folder / "index.json"
    if not path.is_file():
        return []
    try:
        entries = [Entry(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error}; restore it from a copy") from error
    return [entry for entry in entries if (folder / entry.name).is_file()]


def write_index(folder: Path, entries: Sequence[Entry]) -> None:
    """Writes which checkpoints a folder has."""
    rows = [{"step": e.step, "epoch": e.epoch, "dev": e.dev} for e in entries]
    write_text(folder / "index.json", json.dumps(rows, indent=1) + "\n")


def load(path: Path) -> dict[str, Any]:
    """Returns what a checkpoint file holds; never runs code from it.

    Raises:
        UserError: If the file is missing or damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint {path}") from None
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(f"{path} is damaged or no checkpoint: {reason}") from error
    return state


def load_weights(path: Path) -> dict[str, Tensor]:
    """Returns the weights of a checkpoint file.

    Raises:
        UserError: If the file is missing, damaged, or has no weights.
    """
    state = load(path)
    if "model" not in state:
        raise UserError(f"{path} has no weights")
    weights: dict[str, Tensor] = state["model"]
    return weights


def resolve(run: Path, which: str) -> Path:
    """Returns the path of "average", "best", "last", or of a checkpoint given by its path.

    Raises:
        UserError: If there is no such checkpoint.
    """
    folder = _checkpoints(run)
    if which == "average":
        path = folder / "average.pt"
        if not path.is_file():
            raise UserError(f"{path} is missing; first `asrkit average --run {run} --best 5`")
        return path
    entries = read_index(folder)
    if which in ("best", "last"):
        pool = [e for e in entries if e.dev is not None] if which == "best" else entries
        if not pool:
            raise UserError(f"{folder} has no checkpoint yet; train first")
        key = (lambda e: (e.dev, -e.step)) if which == "best" else (lambda e: -e.step)
        return folder / min(pool, key=key).name
    if not Path(which).is_file():
        raise UserError(f"there is no checkpoint {which!r}: expected average, best, last or a path")
    return Path(which)


def _checkpoints(run: Path) -> Path:
    if not run.is_dir():
        raise UserError(f"there is no run folder {run}")
    return run / "checkpoints"


def average_run(run: Path, best: int | None = None, last: int | None = None) -> Path:
    """Averages the weights of a run's best or last checkpoints of finished epochs.

    Args:
        run: Run folder.
        best: How many of the lowest dev objectives.
        last: How many of the newest, instead.

    Returns:
        RUN/checkpoints/average.pt.

    Raises:
        UserError: If the run has no finished epoch.
    """
    folder = _checkpoints(run)
    finished = [e for e in read_index(folder) if e.dev is not None]
    if not finished:
        raise UserError(f"{folder} has no checkpoint of a finished epoch; train first")
    by_dev = sorted(finished, key=lambda e: (e.dev, -e.step))
    by_step = sorted(finished, key=lambda e: -e.step)
    chosen = by_step[:last] if last is not None else by_dev[: best or 5]
    out = folder / "average.pt"
    average([folder / e.name for e in chosen], out)
    log.info(
        "averaged epochs %s", ", ".join(str(e.epoch) for e in sorted(chosen, key=lambda e: e.epoch))
    )
    return out


def average(paths: Sequence[Path], out: Path) -> None:
    """Writes the mean of the weights of some checkpoints; counters are taken from the first."""
    total: dict[str, Tensor] = {}
    for path in paths:
        for name, tensor in load_weights(path).items():
            wide = tensor.double() if tensor.is_floating_point() else tensor
            if name not in total:
                total[name] = wide
            elif tensor.is_floating_point():
                total[name] = total[name] + wide
    kinds = load_weights(paths[0])
    mean = {
        name: (tensor / len(paths)).to(kinds[name].dtype) if tensor.is_floating_point() else tensor
        for name, tensor in total.items()
    }
    write_atomic({"model": mean, "averaged": [path.name for path in paths]}, out)
