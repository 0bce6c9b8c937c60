"""Which checkpoints of a run are averaged: the best, the newest, or both, of its last epochs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asrkit.errors import UserError
from asrkit.run_folder import AVERAGE, RunFolder
from asrkit.training.checkpoint_index import Entry, by_age, by_objective, read_index
from asrkit.training.checkpoints import average, checkpoints_of, nothing_yet
from asrkit.training.dev_scores import DevScores, by_score, epochs_by_score, read_dev_scores

log = logging.getLogger(__name__)

USUAL = 5
"""Checkpoints that are averaged where no number is given."""


@dataclass(frozen=True)
class Averaged:
    """Which checkpoints are averaged, each once, however often it is chosen.

    Args:
        best: How many of the lowest dev scores; 5 if neither number is given.
        last: How many of the newest.
        within: Only checkpoints of this last share of the epochs so far are looked at.
        by: Dev scores, such as `ctc.loss`: as many as `best` are chosen by each of them. Where
            empty, by what the training was judged by.

    Raises:
        UserError: If a number is too small, the share is none, or `by` has nothing to choose.
    """

    best: int | None = None
    last: int | None = None
    within: float = 1.0
    by: Sequence[str] = ()

    def __post_init__(self) -> None:
        if min(n for n in (self.best, self.last, 1) if n is not None) < 1:
            raise UserError("the number of checkpoints to average must be at least 1")
        if not 0 < self.within <= 1:
            raise UserError(f"within ({self.within:g}) must be a share above 0, 1 at most")
        if self.by and not self._best:
            raise UserError("dev scores choose the best checkpoints: say how many, such as 2")

    @property
    def _best(self) -> int:
        usual = USUAL if self.last is None else 0
        return usual if self.best is None else self.best

    def _is_late(self, epoch: int, newest: int) -> bool:
        return newest * (1 - self.within) < epoch <= newest

    def choose(self, entries: Sequence[Entry], run: Path) -> list[Entry]:
        """Returns the chosen ones of a run's checkpoints, the oldest first.

        Raises:
            UserError: If there are none of these epochs, or no score has a name of `by`.
        """
        newest = max(entry.epoch for entry in entries)
        late = [entry for entry in entries if self._is_late(entry.epoch, newest)]
        usable = by_objective(late)
        if not usable:
            raise UserError(nothing_yet(RunFolder(run).checkpoints, late))
        ranked = [self._by_score(late, name, run) for name in self.by] or [usable]
        chosen = {entry.step: entry for order in ranked for entry in order[: self._best]}
        chosen |= {entry.step: entry for entry in by_age(usable)[: self.last or 0]}
        for what, wanted in (("best", self._best), ("last", self.last or 0)):
            if wanted > len(usable):
                log.warning("%s %d: only %d checkpoints are kept", what, wanted, len(usable))
        return [chosen[step] for step in sorted(chosen)]

    def _by_score(self, entries: Sequence[Entry], name: str, run: Path) -> list[Entry]:
        """Returns checkpoints with a number as this dev score, the lowest first.

        Raises:
            UserError: If no epoch has such a score.
        """
        path = RunFolder(run).log
        scores = read_dev_scores(path)
        known = sorted({each for found in scores.values() for each in found})
        if name not in known:
            raise UserError(f"{path}: unknown dev score {name!r}; known: {known}")
        found = by_score((entry for entry in entries if entry.can_be_best), scores, name)
        newest = max(entry.epoch for entry in entries)
        late = [n for n in epochs_by_score(scores, name) if self._is_late(n, newest)]
        _tell_lost(name, scores, late[: self._best], [e.epoch for e in found[: self._best]])
        return found


def average_run(run: Path, which: Averaged = Averaged()) -> Path:  # noqa: B008 - frozen
    """Averages the weights of some of a run's checkpoints of finished epochs.

    Args:
        run: Run folder.
        which: Of them.

    Returns:
        RUN/checkpoints/average.pt.

    Raises:
        UserError: If the run has no finished epoch among these.
    """
    folder = checkpoints_of(run)
    entries = read_index(folder)
    if not by_objective(entries):
        raise UserError(nothing_yet(folder, entries))
    chosen = which.choose(entries, run)
    out = folder / AVERAGE
    average([folder / entry.name for entry in chosen], out)
    log.info("averaged epochs %s", ", ".join(str(entry.epoch) for entry in chosen))
    return out


def _tell_lost(name: str, scores: DevScores, best: Sequence[int], chosen: Sequence[int]) -> None:
    """Warns of epochs that are among the best by a score, but whose checkpoints are gone.

    Args:
        name: Of the score.
        scores: Of all epochs.
        best: The best of all epochs that are looked at, the best first.
        chosen: Those of which there is a checkpoint, the best first, as many at most.
    """
    lost = [epoch for epoch in best if epoch not in chosen]
    if not lost:
        return
    instead = [epoch for epoch in chosen if epoch not in best]
    log.warning(
        "%s: the best %d include epochs that are no longer kept: %s; averaged instead: %s; "
        "training.checkpoints.keep_best_by: [%s] keeps the best of a training by this score, too",
        name,
        len(best),
        _shown(lost, scores, name),
        _shown(instead, scores, name) or "nothing",
        name,
    )


def _shown(epochs: Sequence[int], scores: DevScores, name: str) -> str:
    return ", ".join(f"epoch {epoch} ({scores[epoch][name]:.4g})" for epoch in epochs)
