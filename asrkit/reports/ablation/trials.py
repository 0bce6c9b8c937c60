"""The trials of a sweep: a table of what was tried, and how far it came."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrkit.reports.ablation.cells import NONE
from asrkit.reports.parts import Cells, Heading, Paragraph, Part, Picture, Points

EXPLAINED = (
    "The score of a trial is what its training is judged by on its dev set, lower is better: a "
    "loss, unless the spec names another. After each of the epochs but the last, one trial of "
    "{reduction} goes on, the base in any case. The best of many trials looks better than it is: "
    "believe error rates on sets that trials were not chosen by, and train the best with other "
    "seeds."
)


@dataclass(frozen=True)
class TrialNumbers:
    """What is known of a trial.

    Args:
        name: Of the trial; `base` for the base.
        values: Of the keys that trials change.
        scores: What it is judged by after each epoch, lower is better.
        problem: Why it failed; empty if it did not.
    """

    name: str
    values: Mapping[str, Any]
    scores: Mapping[int, float]
    problem: str = ""

    @property
    def epochs(self) -> int:
        """How many were trained."""
        return max(self.scores, default=0)

    @property
    def rank(self) -> tuple[int, float]:
        """Trials that came further come first, then those with better scores."""
        score = self.scores.get(self.epochs, math.inf)
        return -self.epochs, score if math.isfinite(score) else math.inf


def best_first(trials: Sequence[TrialNumbers]) -> list[TrialNumbers]:
    """Returns trials by how far they came, then by their scores."""
    return sorted(trials, key=lambda trial: trial.rank)


def trial_parts(
    trials: Sequence[TrialNumbers],
    keys: Sequence[str],
    rungs: Sequence[int],
    reduction: int,
    picture: Path | None,
) -> list[Part]:
    """Returns the parts of a report that tell of trials.

    Args:
        trials: The best first.
        keys: That trials change.
        rungs: Epochs after which they are compared.
        reduction: One of so many goes on.
        picture: The file of their plot, if there is one.
    """
    parts: list[Part] = [
        Heading("Trials"),
        Paragraph([EXPLAINED.format(reduction=reduction)]),
        trials_table(trials, keys, rungs),
    ]
    failed = [f"{trial.name}: {trial.problem}" for trial in trials if trial.problem]
    parts += [Heading("Trials that failed"), Points(failed)] if failed else []
    return parts if picture is None else [*parts, Picture("trials", picture)]


def trials_table(
    trials: Sequence[TrialNumbers], keys: Sequence[str], rungs: Sequence[int]
) -> Cells:
    """Returns a row for each trial: its values, how far it came, its scores; the best is strong."""
    rows = [
        [
            trial.name,
            *(shown(trial.values[key]) for key in keys),
            str(trial.epochs),
            *(_score(trial.scores.get(rung)) for rung in rungs),
        ]
        for trial in trials
    ]
    header = ["trial", *keys, "epochs", *(f"score, epoch {rung}" for rung in rungs)]
    best = [number for number, trial in enumerate(trials) if trial.epochs >= rungs[-1]]
    return Cells(header, rows, best[:1])


def shown(value: Any) -> str:
    """Returns a value of a key, as YAML has it."""
    if isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def _score(score: float | None) -> str:
    return NONE if score is None else f"{score:.4f}"
