"""Which states of a training are kept, and whether it goes back to one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asrkit.bounds import refuse_below, refuse_not_above
from asrkit.run_folder import RunFolder
from asrkit.training.checkpoint_index import Entry
from asrkit.training.checkpoints import CheckpointStore
from asrkit.training.dev_scores import BestByScores


@dataclass(frozen=True)
class ReloadBest:
    """Before an epoch, goes back to the best of the last epochs.

    Args:
        last: How many of the last epochs are compared, including the newest.
        margin: How much better the dev objective must be than that of the newest.
        from_epoch: Earlier epochs are not compared.

    Raises:
        ValueError: If a number is too small.

    Source: the option `use_last_best_model` of rwth-i6/i6_experiments,
        users/zeyer/experiments/exp2022_07_21_transducer/exp_fs_base.
    """

    last: int
    margin: float = 0.0
    from_epoch: int = 1

    def __post_init__(self) -> None:
        refuse_below(2, last=self.last)
        refuse_below(0, margin=self.margin)
        refuse_below(1, from_epoch=self.from_epoch)

    def choose(self, entries: Sequence[Entry], newest: int) -> Entry | None:
        """Returns the checkpoint to go back to after epoch `newest`, if there is a better one."""
        devs = {e.epoch: (e.objective, e) for e in entries if e.dev is not None}
        first = max(self.from_epoch, newest - self.last + 1)
        compared = [devs[epoch] for epoch in range(first, newest) if epoch in devs]
        if newest not in devs or not compared:
            return None
        dev, best = min(compared, key=lambda pair: pair[0])
        return best if dev + self.margin < devs[newest][0] else None


@dataclass(frozen=True)
class Checkpoints:
    """When checkpoints are written, which are kept, and whether training goes back to one.

    Args:
        keep_best: How many checkpoints with the lowest dev objective are kept.
        keep_best_by: Further dev scores, such as `ctc.loss`: as many checkpoints with the lowest
            value of each are kept, too.
        keep_last: How many of the newest checkpoints are kept.
        keep_epochs: Epochs whose checkpoints are kept whatever comes later.
        save_minutes: A checkpoint is written at least so often.
        save_steps: A checkpoint is written every so many updates, if set.
        reload_best: When to go back to an earlier epoch, with a fresh optimiser, if set.

    Raises:
        ValueError: If a number is too small, or nothing is to be kept by a score.
    """

    keep_best: int = 5
    keep_best_by: list[str] = field(default_factory=list)
    keep_last: int = 2
    keep_epochs: list[int] = field(default_factory=list)
    save_minutes: float = 10.0
    save_steps: int | None = None
    reload_best: ReloadBest | None = None

    def __post_init__(self) -> None:
        refuse_below(0, keep_best=self.keep_best, keep_last=self.keep_last)
        if self.keep_best_by and not self.keep_best:
            raise ValueError(
                f"keep_best is 0, so that nothing is kept by {', '.join(self.keep_best_by)}: "
                "expected at least 1, or no keep_best_by"
            )
        refuse_below(1, keep_epochs=min(self.keep_epochs, default=1))
        refuse_not_above(0, save_minutes=self.save_minutes)
        refuse_below(1, save_steps=self.save_steps)

    def store(self, folder: Path) -> CheckpointStore:
        """Returns the checkpoints of a folder, of which it keeps what is needed."""
        compared = self.reload_best.last if self.reload_best is not None else 0
        epochs = frozenset(self.keep_epochs)
        by = BestByScores(self.keep_best_by, RunFolder(folder.parent).log)
        return CheckpointStore(folder, self.keep_best, self.keep_last, compared, epochs, by)

    def is_due(self, step: int, seconds: float) -> bool:
        """Returns whether to save after an update, so many seconds after the last time."""
        on_step = self.save_steps is not None and step % self.save_steps == 0
        return on_step or seconds >= 60 * self.save_minutes
