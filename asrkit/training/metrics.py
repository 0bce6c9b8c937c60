"""Sums and counts become the numbers of the log; TensorBoard gets the same ones."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from asrkit.files import write_lines
from asrkit.models.interfaces import LossReport
from asrkit.run_files import read_epochs
from asrkit.training.distributed import World


class Totals:
    """Adds up loss reports."""

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])

    def add(self, report: LossReport) -> None:
        """Counts a report in."""
        for name, part in report.items():
            entry = self._sums[name]
            entry[0] += float(part.total.detach())
            entry[1] += part.count
            entry[2] = part.weight

    def reduced(self, world: World) -> Totals:
        """Returns the sums over all processes."""
        result = Totals()
        for state in world.gather(self.state_dict()):  # one without batches has no names
            for name, (total, count, weight) in state.items():
                entry = result._sums[name]
                entry[0] += total
                entry[1] += count
                entry[2] = weight
        return result

    def values(self) -> dict[str, float]:
        """Returns total / count of each part."""
        return {n: total / max(count, 1) for n, (total, count, _) in sorted(self._sums.items())}

    def objective(self) -> float:
        """Returns the weighted sum of the parts' values."""
        return sum(w * total / max(count, 1) for total, count, w in self._sums.values())

    def state_dict(self) -> dict[str, list[float]]:
        """Returns the sums, counts and weights."""
        return {name: list(entry) for name, entry in self._sums.items()}

    def load_state_dict(self, state: dict[str, list[float]]) -> None:
        """Restores what `state_dict` gave."""
        self._sums.clear()
        self._sums.update({name: list(entry) for name, entry in state.items()})


class MetricLog:
    """RUN/log.jsonl, one line per epoch, and TensorBoard.

    Args:
        run: Run folder.
        resume_epoch: Lines after this epoch are dropped: they are about to be written again.
        resume_step: TensorBoard points after this step are hidden.
    """

    def __init__(self, run: Path, resume_epoch: int, resume_step: int) -> None:
        self.path = run / "log.jsonl"
        kept = [e for e in read_log(self.path) if e["epoch"] <= resume_epoch]
        write_lines(self.path, map(json.dumps, kept))
        self.writer = SummaryWriter(str(run / "tensorboard"), purge_step=resume_step)

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Writes numbers of one step to TensorBoard."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def epoch(self, entry: dict[str, Any]) -> None:
        """Appends the line of one epoch."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        for kind in ("train", "dev"):
            values = {f"{kind}/{name}": value for name, value in entry[kind].items()}
            self.scalars(values, entry["step"])
        self.writer.flush()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Returns the lines of a log, none where it is missing.

    Raises:
        UserError: If it is damaged.
    """
    return read_epochs(path) if path.is_file() else []
