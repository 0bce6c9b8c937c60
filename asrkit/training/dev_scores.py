"""The dev scores of finished epochs, from the log of a run, and checkpoints in their order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asrkit.run_files import read_epochs
from asrkit.training.checkpoint_index import Entry

DevScores = Mapping[int, Mapping[str, float]]
"""Values by name, by epoch."""


def read_dev_scores(log: Path) -> DevScores:
    """Returns the scores of the epochs of a log; of none where it is missing.

    Raises:
        UserError: If it is damaged.
    """
    return {each["epoch"]: each["dev"] for each in read_epochs(log)} if log.is_file() else {}


def epochs_by_score(scores: DevScores, name: str) -> list[int]:
    """Returns the epochs with a number as this score: the lowest first, the newer one if equal."""
    values = {epoch: found.get(name, math.nan) for epoch, found in scores.items()}
    numbers = [epoch for epoch, value in values.items() if not math.isnan(value)]
    return sorted(numbers, key=lambda epoch: (values[epoch], -epoch))


def by_score(entries: Iterable[Entry], scores: DevScores, name: str) -> list[Entry]:
    """Returns the checkpoints of finished epochs in the order of `epochs_by_score`."""
    places = {epoch: place for place, epoch in enumerate(epochs_by_score(scores, name))}
    found = [each for each in entries if each.dev is not None and each.epoch in places]
    return sorted(found, key=lambda each: (places[each.epoch], -each.step))


@dataclass(frozen=True)
class BestByScores:
    """Chooses the best checkpoints by each of some dev scores.

    Args:
        names: Of the scores.
        log: Has their values.

    Source: rwth-i6/returnn, returnn/engine/base.py, `cleanup_old_models`, for the scores of dev.
    """

    names: Sequence[str] = ()
    log: Path = Path()

    def choose(self, entries: Sequence[Entry], count: int) -> list[Entry]:
        """Returns the best checkpoints, so many by each score.

        Raises:
            UserError: If the log is damaged.
        """
        if not self.names:
            return []
        scores = read_dev_scores(self.log)
        return [each for name in self.names for each in by_score(entries, scores, name)[:count]]
