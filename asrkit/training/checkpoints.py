"""The checkpoints of a run: the best and the last ones are kept; averaging."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Size, Tensor

from asrkit.errors import UserError
from asrkit.run_folder import AVERAGE, RunFolder
from asrkit.training.checkpoint_files import load, load_weights, write_atomic
from asrkit.training.checkpoint_index import (
    Entry,
    adopted,
    by_age,
    by_objective,
    checkpoint_files,
    described,
    read_index,
    write_index,
)
from asrkit.training.dev_scores import BestByScores

__all__ = [
    "CheckpointStore",
    "Entry",
    "average",
    "load",
    "load_weights",
    "read_index",
    "resolve",
    "write_atomic",
    "write_index",
]

log = logging.getLogger(__name__)

DIVERGED = "diverged.pt"
"""The last checkpoint of a diverged run, for inspection; training never continues from it."""
Check = Callable[[dict[str, Any]], None]


class CheckpointStore:
    """The checkpoints of one run.

    Args:
        folder: Where they are.
        keep_best: How many of the lowest dev objectives are kept.
        keep_last: How many of the newest are kept.
        keep_epochs: How many of the newest of finished epochs are kept.
        always: Epochs whose checkpoints are kept whatever comes later.
        by: Chooses as many as `keep_best` by each of other scores, which are kept, too.
    """

    def __init__(
        self,
        folder: Path,
        keep_best: int = 5,
        keep_last: int = 2,
        keep_epochs: int = 0,
        always: frozenset[int] = frozenset(),
        by: BestByScores = BestByScores(),  # noqa: B008 - frozen
    ) -> None:
        self.folder, self.keep_epochs = folder, keep_epochs
        self.keep_best, self.keep_last, self.always, self.by = keep_best, keep_last, always, by
        folder.mkdir(parents=True, exist_ok=True)
        self.entries = read_index(folder)

    def save(self, state: dict[str, Any], step: int, epoch: int, dev: float | None) -> None:
        """Writes a checkpoint, then removes those that need not be kept.

        Raises:
            UserError: If it can't be written, as on a full disk, or the log of scores is damaged.
        """
        entry = Entry(step, epoch, dev)
        saved = {"step": step, "epoch": epoch, "dev": dev}
        write_atomic({**state, "saved": saved}, self.folder / entry.name)
        self.entries = [e for e in self.entries if e.step != step] + [entry]
        kept = self._kept()
        removed = [e for e in self.entries if e not in kept]
        self.entries = [e for e in self.entries if e in kept]
        write_index(self.folder, self.entries)
        for old in removed:
            (self.folder / old.name).unlink(missing_ok=True)

    def adopt(self) -> None:
        """Adds checkpoints that a killed process wrote but did not list; logs which."""
        known = {entry.name for entry in self.entries}
        unknown = [path for path in checkpoint_files(self.folder) if path.name not in known]
        found = [entry for entry in map(adopted, unknown) if entry is not None]
        if found:
            names = ", ".join(entry.name for entry in found)
            log.warning("%s: found %s, which the index did not list", self.folder, names)
            self.entries = sorted([*self.entries, *found], key=lambda e: e.step)
        if self.entries:
            write_index(self.folder, self.entries)

    def load_newest(self, check: Check | None = None) -> dict[str, Any] | None:
        """Returns the newest checkpoint that can be used, or None where there is none.

        One that is damaged is reported and set aside, and the one before it is used.

        Args:
            check: Raises a `UserError` for a checkpoint that can't be used though it can be read.

        Raises:
            UserError: If there are checkpoints and none can be used: training must not start over
                unasked.
        """
        problems: list[tuple[Entry, UserError]] = []
        for entry in by_age(self.entries):
            try:
                state = self._load(entry, check)
            except UserError as error:
                problems.append((entry, error))
                continue
            for damaged, problem in problems:
                self._set_aside(damaged, problem)
            return state
        if problems:
            raise UserError(
                f"{problems[0][1]}; no checkpoint before it can be used, either: restore one, or "
                "start over in another --run folder"
            ) from problems[0][1]
        return None

    def discard(self, from_step: int, unfinished_from: int) -> Entry | None:
        """Removes checkpoints of a diverged training run; the last one becomes diverged.pt.

        Args:
            from_step: All from this step on are removed.
            unfinished_from: Those within epochs are removed from this step on.

        Returns:
            The newest remaining one.
        """
        bad = [
            e
            for e in self.entries
            if e.step >= from_step or (e.step >= unfinished_from and not e.can_be_best)
        ]
        self.entries = [e for e in self.entries if e not in bad]
        write_index(self.folder, self.entries)
        for number, entry in enumerate(by_age(bad)):
            path = self.folder / entry.name
            if number == 0 and path.is_file():
                path.replace(self.folder / DIVERGED)
            path.unlink(missing_ok=True)
        return by_age(self.entries)[0] if self.entries else None

    def _load(self, entry: Entry, check: Check | None) -> dict[str, Any]:
        path = self.folder / entry.name
        state = load(path)
        found = described(state, path).name if "saved" in state else entry.name
        if found != entry.name:
            raise UserError(f"{path} is not what its name says: it holds {found}")
        if check is not None:
            try:
                check(state)
            except UserError as error:
                raise UserError(f"{path} is damaged or of another run: {error}") from error
        return state

    def _set_aside(self, entry: Entry, problem: UserError) -> None:
        path = self.folder / entry.name
        aside = path.with_name(path.name + ".damaged")
        if path.is_file():
            path.replace(aside)
        log.warning(
            "%s; the checkpoint before it is used, and this one is set aside as %s",
            problem,
            aside.name,
        )
        self.entries = [e for e in self.entries if e is not entry]
        write_index(self.folder, self.entries)

    def _kept(self) -> list[Entry]:
        finished = [e for e in self.entries if e.dev is not None]
        best = by_objective(finished)[: self.keep_best]
        best += self.by.choose(finished, self.keep_best)
        last = by_age(self.entries)[: max(self.keep_last, 1)]
        last += by_age(finished)[: self.keep_epochs]
        last += [entry for entry in finished if entry.epoch in self.always]
        return [e for e in self.entries if e in best or e in last]


def resolve(run: Path, which: str) -> Path:
    """Returns the path of "average", "best", "last", or of a checkpoint given by its path.

    Raises:
        UserError: If there is no such checkpoint.
    """
    folder = checkpoints_of(run)
    if which == "average":
        path = folder / AVERAGE
        if not path.is_file():
            raise UserError(f"{path} is missing; first `asrkit average --run {run} --best 5`")
        return path
    entries = read_index(folder)
    if which in ("best", "last"):
        pool = by_objective(entries) if which == "best" else by_age(entries)
        if not pool:
            raise UserError(nothing_yet(folder, entries))
        return folder / pool[0].name
    if not Path(which).is_file():
        raise UserError(f"there is no checkpoint {which!r}: expected average, best, last or a path")
    return Path(which)


def nothing_yet(folder: Path, entries: Sequence[Entry]) -> str:
    """Returns why no checkpoint can be best."""
    if any(e.dev is not None for e in entries):
        return f"{folder}: no finished epoch has a dev objective that is a number (all are NaN)"
    if entries:
        return f"{folder} has no checkpoint of a finished epoch yet; train on"
    return f"{folder} has no checkpoint yet; train first"


def checkpoints_of(run: Path) -> Path:
    """Returns the folder of a run's checkpoints.

    Raises:
        UserError: If there is no such run.
    """
    if not run.is_dir():
        raise UserError(f"there is no run folder {run}")
    return RunFolder(run).checkpoints


def average(paths: Sequence[Path], out: Path) -> None:
    """Writes the mean of the weights of some checkpoints; counters are taken from the first.

    Raises:
        UserError: If one can't be read, or has other tensors than the first.
    """
    total: dict[str, Tensor] = {}
    for path in paths:
        weights = load_weights(path)
        if total and _shapes(weights) != _shapes(total):
            raise UserError(f"{path} has other tensors than {paths[0]}: they can't be averaged")
        for name, tensor in weights.items():
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


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, Size]:
    return {name: tensor.shape for name, tensor in weights.items()}
