"""`asrkit ablate`: a base, its variants, and a process for each of their trainings."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from asrkit.errors import UserError
from asrkit.experiment.ablation.plan import Row, Study, planned
from asrkit.experiment.ablation.report import numbers_of, write_report
from asrkit.experiment.ablation.row import is_done, run_row
from asrkit.experiment.record import record_command
from asrkit.owners import owned
from asrkit.queues.cluster import Cluster, run_jobs
from asrkit.queues.processes import Ended, Task, command_of, last_message, run_tasks
from asrkit.reports.ablation.numbers import RowNumbers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RowState:
    """How far a row is.

    Args:
        row: Its name.
        done: Whether it is trained, decoded and scored.
        problem: Why it is not, as its process said last.
    """

    row: str
    done: bool
    problem: str = ""


@dataclass(frozen=True)
class AblationReport:
    """What a study has come to.

    Args:
        rows: How far each row is.
        numbers: Of each variant, the base first.
        files: What was written.
        text: The same in Markdown.
    """

    rows: list[RowState]
    numbers: list[RowNumbers]
    files: list[Path]
    text: str

    @property
    def failed(self) -> list[RowState]:
        """The rows that are not done."""
        return [state for state in self.rows if not state.done]


def ablate_row(study: Study, name: str, until: int | None = None) -> None:
    """Trains, decodes and scores one row in this process.

    Args:
        study: What is asked for.
        name: Of the row, such as no-aux-1.
        until: If set, training ends after this epoch for now, and nothing is decoded.

    Raises:
        UserError: If there is no such row, or it fails.
    """
    rows = [row for each in planned(study) for row in each.rows]
    found = [row for row in rows if row.name == name]
    if not found:
        names = ", ".join(row.name for row in rows)
        raise UserError(f"there is no row {name!r} in this study; its rows are {names}")
    run_row(study, found[0], until)


def ablate(
    study: Study, jobs: int = 1, train: bool = True, cluster: Cluster | None = None
) -> AblationReport:
    """Runs, resumes or skips all rows, then reports what there is.

    Args:
        study: What is asked for.
        jobs: How many rows are trained at a time.
        train: Whether anything is trained; else what is there is reported.
        cluster: Where rows are run; on this machine if not given.

    Raises:
        UserError: If the base or a variant can't be trained, or a variant changes nothing.
    """
    plan = planned(study)
    rows = [row for each in plan for row in each.rows]
    problems: dict[str, str] = {}
    with opened(study.folder.path, "an ablation study" if train else None):
        if train:
            problems = run_rows(study, rows, jobs, cluster)
    states = [_state(study, row, problems.get(row.name)) for row in rows]
    missing = {state.row: state.problem for state in states if not state.done}
    numbers = numbers_of(study, plan, missing)
    files = write_report(study, numbers)
    text = study.folder.section.read_text(encoding="utf-8")
    return AblationReport(states, numbers, files, text)


@contextmanager
def opened(folder: Path, work: str | None) -> Iterator[None]:
    """Records the command in the folder of a study, which is this process's within the block.

    Args:
        folder: The folder.
        work: What is done there, for messages to others; None where it is only looked at.

    Raises:
        UserError: If another process works there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with nullcontext() if work is None else owned(folder, work):
        record_command(folder)
        yield


def run_rows(
    study: Study,
    rows: Sequence[Row],
    jobs: int,
    cluster: Cluster | None,
    until: int | None = None,
) -> dict[str, str]:
    """Runs the rows that are not done; returns the problems of those that failed.

    Args:
        study: What is asked for.
        rows: Some of its rows.
        jobs: How many are trained at a time.
        cluster: Where they are run; on this machine if not given.
        until: If set, training ends after this epoch for now, and nothing is decoded.
    """
    problems: dict[str, str] = {}
    tasks: list[Task] = []
    for row in rows:
        try:
            if is_done(study, row, until):
                log.info("%s is done already", row.name)
            else:
                tasks.append(_task(study, row, until))
        except UserError as error:
            problems[row.name] = str(error)
    if cluster is None:
        ended_tasks = run_tasks(tasks, jobs, _tell)
    else:
        ended_tasks = run_jobs(tasks, jobs, _tell, cluster) if tasks else []
    for ended in ended_tasks:
        if ended.problem is not None:
            problems[ended.name] = ended.problem
    return problems


def _tell(ended: Ended) -> None:
    if ended.problem is None:
        log.info("%s is done", ended.name)
    else:
        log.warning("%s failed: %s", ended.name, ended.problem)


def _state(study: Study, row: Row, problem: str | None) -> RowState:
    try:
        if problem is None and is_done(study, row):
            return RowState(row.name, True)
    except UserError as error:
        problem = str(error)
    said = last_message(study.folder.log(row.name))
    return RowState(row.name, False, problem or said or "not begun")


def _task(study: Study, row: Row, until: int | None) -> Task:
    words = [*row_words(study, row.variant), "--row", row.name]
    words += [] if until is None else ["--until", str(until)]
    words += study.overrides
    return Task(row.name, command_of(study.plugins, words), study.folder.log(row.name))


def row_words(study: Study, variant: str) -> list[str]:
    """Returns the words of the command that has the rows of one variant, without overrides."""
    own = [str(each.path) for each in study.variants if each.name == variant]
    words = ["ablate", "--base", str(study.base), "--data", str(study.data)]
    words += ["--out", str(study.folder.path)]
    words += [] if study.search_file is None else ["--spec", str(study.search_file)]
    for option, values in (
        ("--variants", own),
        ("--set", study.sets),
        ("--search", study.searches),
        ("--epochs", [",".join(map(str, study.epochs))]),
        ("--seeds", [f"{variant}={study.number_of_seeds(variant)}"]),
    ):
        words += [word for value in values for word in (option, value)]
    return words
