"""The plot of a sweep: scores by epoch, and over the values of each key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asrkit.files import replaced
from asrkit.plotting import new_figure
from asrkit.reports.ablation.trials import TrialNumbers, shown

LAST, ENDED = "#1a73e8", "#9aa0a6"
WIDE = 20.0
"""Values whose largest is so many times the smallest are shown by their logarithms."""


def draw_trials(trials: Sequence[TrialNumbers], rungs: Sequence[int], out: Path) -> Path | None:
    """Draws learning curves of all trials, and their scores after the first comparison by value.

    Args:
        trials: The best first; coloured are those that were trained to their end.
        rungs: Epochs after which trials are compared.
        out: The PNG file to write.

    Returns:
        The file, or None where no trial was compared.
    """
    compared = [trial for trial in trials if rungs[0] in trial.scores]
    if not compared:
        return None
    keys = list(compared[0].values)
    figure = new_figure(4.5 * (1 + len(keys)), 3.6)
    curves = figure.add_subplot(1, 1 + len(keys), 1)
    for trial in reversed(compared):
        epochs = sorted(trial.scores)
        curves.plot(epochs, [trial.scores[e] for e in epochs], ".-", color=_color(trial, rungs))
    curves.set_xlabel("epoch")
    curves.set_ylabel("score on the dev set")
    for number, key in enumerate(keys, start=2):
        axes = figure.add_subplot(1, 1 + len(keys), number)
        _draw_key(axes, compared, key, rungs)
    with replaced(out) as partial:
        figure.savefig(partial, dpi=110)
    return out


def _draw_key(axes: Any, trials: Sequence[TrialNumbers], key: str, rungs: Sequence[int]) -> None:
    """Draws the scores after the first comparison over the values of a key."""
    values = [trial.values[key] for trial in trials]
    names = list(dict.fromkeys(shown(value) for value in values))
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    places = values if numbers else [names.index(shown(value)) for value in values]
    colors = [_color(trial, rungs) for trial in trials]
    axes.scatter(places, [trial.scores[rungs[0]] for trial in trials], c=colors)
    if not numbers:
        axes.set_xticks(range(len(names)), names)
    elif min(places) > 0 and max(places) > WIDE * min(places):
        axes.set_xscale("log")
    axes.set_xlabel(key, parse_math=False)
    axes.set_ylabel(f"score after epoch {rungs[0]}")


def _color(trial: TrialNumbers, rungs: Sequence[int]) -> str:
    return LAST if trial.epochs >= rungs[-1] else ENDED
