"""Learning curves as a picture."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from asrkit.training.metrics import read_log


def plot_curves(log: Path, out: Path) -> None:
    """Draws every loss part on train and dev, and the learning rate, by epoch.

    Args:
        log: RUN/log.jsonl.
        out: The PNG file to write.
    """
    entries = read_log(log)
    if not entries:
        return
    names = sorted(entries[-1]["train"])
    kinds = [kind for kind in ("train", "dev") if entries[-1][kind]]
    figure = Figure(figsize=(4.2 * (len(names) + 1), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    epochs = [entry["epoch"] for entry in entries]
    for index, name in enumerate(names, start=1):
        axes = figure.add_subplot(1, len(names) + 1, index)
        for kind in kinds:
            axes.plot(epochs, [entry[kind].get(name) for entry in entries], label=kind)
        axes.set(title=name, xlabel="epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    axes = figure.add_subplot(1, len(names) + 1, len(names) + 1)
    axes.plot(epochs, [entry["lr"] for entry in entries], color="black")
    axes.set(title="learning rate", xlabel="epoch")
    axes.grid(alpha=0.3)
    figure.savefig(out, dpi=110)
