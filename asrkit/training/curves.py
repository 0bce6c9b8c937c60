"""Plots learning curves."""

from __future__ import annotations

import math
from pathlib import Path

from asrkit.files import replaced
from asrkit.plotting import new_figure
from asrkit.training.metrics import read_log

COLUMNS = 4


def plot_curves(log: Path, out: Path) -> None:
    """Draws every loss part on train and dev, and the learning rate, by epoch.

    Parts that are zero throughout, such as counts of what never happened, are left out.

    Args:
        log: RUN/log.jsonl.
        out: The PNG file to write.
    """
    entries = read_log(log)
    if not entries:
        return
    kinds = [kind for kind in ("train", "dev") if entries[-1][kind]]
    names = [
        name
        for name in sorted(entries[-1]["train"])
        if any(entry[kind].get(name) for entry in entries for kind in kinds)
    ]
    rows = math.ceil((len(names) + 1) / COLUMNS)
    figure = new_figure(4.2 * COLUMNS, 3.2 * rows)
    epochs = [entry["epoch"] for entry in entries]
    for place, name in enumerate([*names, "learning rate"], start=1):
        axes = figure.add_subplot(rows, COLUMNS, place)
        axes.set_title(name, parse_math=False)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        if name == "learning rate":
            axes.plot(epochs, [entry["lr"] for entry in entries], color="black")
            continue
        for kind in kinds:
            axes.plot(epochs, [entry[kind].get(name) for entry in entries], label=kind)
        axes.legend()
    with replaced(out) as partial:
        figure.savefig(partial, dpi=80)
