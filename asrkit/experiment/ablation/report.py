"""What a study has found: read from its run folders, then written for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asrkit.experiment.ablation.applied import applied_of, notes_on
from asrkit.experiment.ablation.plan import Planned, Study
from asrkit.files import write_text
from asrkit.reports.ablation.forest import draw_forest
from asrkit.reports.ablation.numbers import Place, Rate, RowNumbers, Scored, corrected, rate_of
from asrkit.reports.ablation.page import page
from asrkit.reports.ablation.section import section
from asrkit.reports.commands import read_commands
from asrkit.run_files import read_epochs
from asrkit.run_folder import RunFolder
from asrkit.scoring.error_tables import read_counts


def write_report(
    study: Study, plan: Sequence[Planned], problems: dict[str, str]
) -> tuple[list[RowNumbers], list[Path]]:
    """Writes the section, the page and the plot of a study.

    Args:
        study: What was asked for.
        plan: Its base and variants.
        problems: Why rows are not done, by row.

    Returns:
        The numbers of all rows, and the files.

    Raises:
        UserError: If rows were scored on other utterances than the base.
    """
    base = {place: _scored(study, plan[0], place) for place in _places(study)}
    rows = corrected([_numbers(study, each, plan[0], base, problems) for each in plan])
    folder, epochs = study.folder, sorted(set(study.epochs))
    forest = draw_forest(rows, study.sets, epochs[-1], folder.forest)
    commands = read_commands(RunFolder(folder.path).commands)
    title = folder.path.resolve().name
    shown = None if forest is None else Path(forest.name)
    write_text(folder.section, section(title, rows, study.sets, epochs, commands, shown))
    write_text(folder.page, page(title, rows, study.sets, epochs, commands, forest))
    files = [folder.section, folder.page, *([] if forest is None else [forest])]
    return rows, files


def _places(study: Study) -> list[Place]:
    return [(name, epoch) for name in study.sets for epoch in sorted(set(study.epochs))]


def _scored(study: Study, planned: Planned, place: Place) -> Scored:
    """Returns the errors of each utterance, by seed, of the rows that were scored."""
    name, epoch = place
    found = {}
    for row in planned.rows:
        decoded = study.folder.decoded(row.name, study.search, epoch, name)
        if decoded.score.is_file():
            counts = read_counts(decoded.utterances, 2)
            found[row.seed] = {id: counted.errors for id, counted in counts.items()}
    return found


def _numbers(
    study: Study,
    planned: Planned,
    base: Planned,
    of_base: dict[Place, Scored],
    problems: dict[str, str],
) -> RowNumbers:
    """Returns what is known of a variant."""
    is_base = planned is base
    rates: dict[Place, Rate] = {}
    for place, theirs in of_base.items():
        ours = _scored(study, planned, place)
        if ours:
            rates[place] = rate_of(ours, None if is_base else theirs)
    logs = {row.seed: _log(study, row.name) for row in planned.rows}
    first, names = logs[planned.rows[0].seed], [row.name for row in planned.rows]
    return RowNumbers(
        name=planned.variant.name,
        remark=planned.variant.remark,
        changes=planned.changes,
        parameters=planned.parameters,
        hours={seed: log[-1]["seconds"] / 3600 for seed, log in logs.items() if log},
        rates=rates,
        missing=[f"{name}: {problems[name]}" for name in names if name in problems],
        notes=[] if is_base else notes_on(planned.changes, logs, _logs(study, base)),
        applied=applied_of(first),
    )


def _logs(study: Study, planned: Planned) -> dict[int, list[dict[str, Any]]]:
    return {row.seed: _log(study, row.name) for row in planned.rows}


def _log(study: Study, row: str) -> list[dict[str, Any]]:
    path = study.folder.run(row).log
    return read_epochs(path) if path.is_file() else []
