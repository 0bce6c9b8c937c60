"""Progress with the remaining time: a bar on a terminal, elsewhere a line from time to time."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from asrkit.terminal import console

LINE_SECONDS = 30.0
"""Seconds between lines if there is no terminal."""


class EpochProgress:
    """Shows the progress of a number of steps.

    Args:
        title: What is being done, such as "epoch 3/50".
        total: Number of steps.
        start: Steps that are done already.
        shown: Whether this process shows anything.
    """

    def __init__(self, title: str, total: int, start: int = 0, shown: bool = True) -> None:
        self.title, self.total, self.done, self._first = title, total, start, start
        self._shown, self._begin = shown, time.monotonic()
        self._last = self._begin
        self._bar: Progress | None = None
        if shown and sys.stderr.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._bar = Progress(*columns, console=console(), transient=True)
            self._task = self._bar.add_task(title, total=total, completed=start, note="")
            self._bar.start()

    def __enter__(self) -> EpochProgress:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def advance(self, note: str) -> None:
        """Counts another step; the note shows its result."""
        self.done += 1
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, note=note)
            return
        now = time.monotonic()
        if self._shown and now - self._last >= LINE_SECONDS:
            self._last = now
            left = (now - self._begin) / (self.done - self._first) * (self.total - self.done)
            print(
                f"{self.title}: {self.done}/{self.total}, {duration(left)} left, {note}",
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        """Removes the bar."""
        if self._bar is not None:
            self._bar.stop()


def duration(seconds: float) -> str:
    """Returns a readable duration: 45 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def epoch_line(entry: Mapping[str, Any], epochs: int, best: bool) -> str:
    """Returns what is printed after an epoch.

    Args:
        entry: The epoch's line of log.jsonl.
        epochs: How many there will be.
        best: Whether no epoch had a lower dev objective.
    """
    kind = "dev" if entry["dev"] else "train"
    shown = "  ".join(f"{name} {value:.4f}" for name, value in entry[kind].items())
    epoch, seconds = entry["epoch"], entry["seconds"]
    left = (epochs - epoch) * seconds / max(epoch, 1)
    star = " *" if entry["dev"] and best else ""
    return (
        f"epoch {epoch:>3}  step {entry['step']:>6}  lr {entry['lr']:.2e}  {kind} {shown}"
        f"  {duration(seconds)}, {duration(left)} left{star}"
    )
