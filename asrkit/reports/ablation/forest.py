"""The forest plot: differences to the base with their intervals, a line for each row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asrkit.files import replaced
from asrkit.plotting import new_figure
from asrkit.reports.ablation.cells import is_real
from asrkit.reports.ablation.numbers import Place, RowNumbers, Versus

HEIGHT = 0.32
"""Inches of a row."""
REAL, UNSURE = "#b3261e", "#5f6368"


def draw_forest(rows: Sequence[RowNumbers], places: Sequence[Place], out: Path) -> Path | None:
    """Draws the differences to the base; coloured are those that are real.

    Args:
        rows: Of the study.
        places: A plot for each, next to each other.
        out: The PNG file to write.

    Returns:
        The file, or None where no row is compared with the base.
    """
    shown = [row for row in rows if any(_versus(row, place) for place in places)]
    if not shown:
        return None
    figure = new_figure(2.5 + 4.5 * len(places), 1.2 + HEIGHT * len(shown))
    several = len({place.search for place in places}) > 1
    for number, place in enumerate(places, start=1):
        axes = figure.add_subplot(1, len(places), number)
        _draw(axes, shown[::-1], place)
        names = [row.name for row in reversed(shown)] if number == 1 else []
        axes.set_yticks(range(len(shown)), names)
        title = str(place) if several else f"{place.set_name}, epoch {place.epoch}"
        axes.set_title(title, parse_math=False)
    with replaced(out) as partial:
        figure.savefig(partial, dpi=110)
    return out


def _draw(axes: Any, rows: Sequence[RowNumbers], place: Place) -> None:
    """Draws the plot of one place, the first row lowest."""
    for height, row in enumerate(rows):
        versus = _versus(row, place)
        if versus is not None:
            color = REAL if is_real(row.rates.get(place)) else UNSURE
            interval = versus.interval
            axes.plot([interval.low, interval.high], [height, height], color=color, lw=2)
            axes.plot([versus.difference], [height], "o", color=color)
    axes.axvline(0.0, color="black", lw=1)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlabel("WER, difference to the base, percent absolute")
    axes.grid(axis="x", alpha=0.3)


def _versus(row: RowNumbers, place: Place) -> Versus | None:
    rate = row.rates.get(place)
    return None if rate is None else rate.versus
