"""Pictures of how the word error rate depends on what was tuned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from asrkit.experiment.tuned_values import Ranges
from asrkit.files import replaced
from asrkit.plotting import new_figure
from asrkit.run_files import Trial
from asrkit.scoring.weights import Pool


def plot_surface(
    found: Pool,
    weights: Mapping[str, float],
    ranges: Ranges,
    path: Path,
) -> None:
    """Draws the WER over one or two weights, the others at their best, from the n-best lists."""
    names = list(ranges)[:2]
    axes = [np.linspace(*ranges[name], 25) for name in names]
    figure = new_figure(6, 4.5)
    plot = figure.add_subplot()
    if len(names) == 1:
        rates = [found.rate({**weights, names[0]: x}) for x in axes[0]]
        plot.plot(axes[0], rates)
        plot.axvline(weights[names[0]], linestyle=":")
        plot.set_ylabel("WER in % on the n-best lists")
    else:
        grid = np.array(
            [[found.rate({**weights, names[0]: x, names[1]: y}) for x in axes[0]] for y in axes[1]]
        )
        shown = plot.contourf(axes[0], axes[1], grid, levels=20, cmap="viridis_r")
        figure.colorbar(shown, label="WER in % on the n-best lists")
        plot.plot(weights[names[0]], weights[names[1]], "r+", markersize=12)
        plot.set_ylabel(f"weight of {names[1]}", parse_math=False)
    plot.set_xlabel(f"weight of {names[0]}", parse_math=False)
    with replaced(path) as partial:
        figure.savefig(partial, dpi=120)


def plot_trials(trials: Sequence[Trial], name: str, path: Path) -> None:
    """Draws the WER of all decodes over one of their values."""
    figure = new_figure(6, 4.5)
    plot = figure.add_subplot()
    rows = sorted((trial.weights[name], trial.wer, trial.low, trial.high) for trial in trials)
    values, rates, low, high = zip(*rows, strict=True)
    plot.fill_between(values, low, high, alpha=0.2)
    plot.plot(values, rates, "o-")
    plot.set_xlabel(name, parse_math=False)
    plot.set_ylabel("WER in %")
    with replaced(path) as partial:
        figure.savefig(partial, dpi=120)
