"""Sums and counts become the numbers of the log; TensorBoard gets the same ones."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from asrkit.errors import UserError
from asrkit.files import write_lines
from asrkit.models.interfaces import LossReport, TrainableModel
from asrkit.run_files import read_epochs
from asrkit.run_folder import RunFolder
from asrkit.training.board import Board
from asrkit.training.distributed import World

Describe = Callable[[TrainableModel, Any, int], None]
"""Draws what a model does: called with it, the TensorBoard writer and the epoch."""


class StepTimes(NamedTuple):
    """Seconds that an update took, and how many of them it waited for data."""

    all: float
    loading: float


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

    def add_all(self, reports: Iterable[LossReport]) -> None:
        """Counts reports in."""
        for report in reports:
            self.add(report)

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

    def judged(self, name: str | None) -> float:
        """Returns what a training is judged by: a part's value, or the objective without a name.

        Raises:
            UserError: If there is no such part.
        """
        if name is None:
            return self.objective()
        self._require(name, "judged_by")
        return self.values()[name]

    def require(self, judged_by: str | None, kept_by: Sequence[str]) -> None:
        """Checks that there are all parts that a training asks for.

        Args:
            judged_by: What it is judged by, if that is one.
            kept_by: By which checkpoints are kept.

        Raises:
            UserError: If there is no such part.
        """
        if judged_by is not None:
            self._require(judged_by, "judged_by")
        for name in kept_by:
            self._require(name, "checkpoints.keep_best_by")

    def _require(self, name: str, key: str) -> None:
        if name not in self._sums:
            raise UserError(
                f"training.{key}: unknown score {name!r}; this model has {', '.join(self.values())}"
            )

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
        resume_epoch: Lines after this epoch are dropped: they will be written again.
        hidden_from: TensorBoard points of this step and later ones are hidden.
    """

    def __init__(self, run: Path, resume_epoch: int, hidden_from: int) -> None:
        self.path = RunFolder(run).log
        shown = read_log(self.path)
        self._epochs = [e for e in shown if e["epoch"] <= resume_epoch]
        write_lines(self.path, map(json.dumps, self._epochs))
        went_back = len(self._epochs) < len(shown)
        again_from = resume_epoch + 1 if went_back else None
        self.board = Board(RunFolder(run).tensorboard, hidden_from, again_from)

    def step(self, step: int, rate: float, norm: float, samples: int, times: StepTimes) -> None:
        """Shows the numbers of an update."""
        seconds = max(times.all, 1e-9)
        values = {
            "step/lr": rate,
            "step/gradient_norm": norm,
            "step/samples_per_second": samples / seconds,
            "step/load_share": times.loading / seconds,
        }
        self.board.scalars(values, step)

    def epoch(self, entry: dict[str, Any]) -> None:
        """Adds the line of one epoch."""
        self._epochs.append(entry)
        write_lines(self.path, map(json.dumps, self._epochs))
        for kind in ("train", "dev"):
            values = {f"{kind}/{name}": value for name, value in entry[kind].items()}
            self.board.scalars(values, entry["step"])
        self.board.flush()

    def draw(self, describe: Describe | None, model: TrainableModel, epoch: int) -> None:
        """Shows what an epoch's model does."""
        if describe is not None:
            self.board.show("pictures of dev", lambda writer: describe(model, writer, epoch))


def read_log(path: Path) -> list[dict[str, Any]]:
    """Returns the lines of a log, none where it is missing.

    Raises:
        UserError: If it is damaged.
    """
    return read_epochs(path) if path.is_file() else []
