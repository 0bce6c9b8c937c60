"""The forest plot: differences to the base with their intervals, a line for each row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asrkit.files import replaced
from asrkit.plotting import new_figure
from asrkit.reports.ablation.cells import is_real
from asrkit.reports.ablation.numbers import RowNumbers, Versus

HEIGHT = 0.32
"""Inches of a row."""
REAL, UNSURE = "#b3261e", "#5f6368"


def draw_forest(
    rows: Sequence[RowNumbers], sets: Sequence[str], epoch: int, out: Path
) -> Path | None:
    """Draws the differences to the base after an epoch; coloured are those that are real.

    Args:
        rows: Of the study.
        sets: A plot for each, next to each other.
        epoch: After which they were decoded.
        out: The PNG file to write.

    Returns:
        The file, or None where no row is compared with the base.
    """
    shown = [row for row in rows if any(_versus(row, name, epoch) for name in sets)]
    if not shown:
        return None
    figure = new_figure(2.5 + 4.5 * len(sets), 1.2 + HEIGHT * len(shown))
    for place, name in enumerate(sets, start=1):
        axes = figure.add_subplot(1, len(sets), place)
        for height, row in enumerate(reversed(shown)):
            versus = _versus(row, name, epoch)
            if versus is not None:
                color = REAL if is_real(row.rates.get((name, epoch))) else UNSURE
                interval = versus.interval
                axes.plot([interval.low, interval.high], [height, height], color=color, lw=2)
                axes.plot([versus.difference], [height], "o", color=color)
        axes.axvline(0.0, color="black", lw=1)
        axes.set_yticks(
            range(len(shown)), [row.name for row in reversed(shown)] if place == 1 else []
        )
        axes.set_ylim(-0.7, len(shown) - 0.3)
        axes.set_xlabel("WER, difference to the base, percent absolute")
        axes.set_title(f"{name}, epoch {epoch}", parse_math=False)
        axes.grid(axis="x", alpha=0.3)
    with replaced(out) as partial:
        figure.savefig(partial, dpi=110)
    return out


def _versus(row: RowNumbers, set_name: str, epoch: int) -> Versus | None:
    rate = row.rates.get((set_name, epoch))
    return None if rate is None else rate.versus
