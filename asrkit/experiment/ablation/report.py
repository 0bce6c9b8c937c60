"""What a study has found: read from its run folders, then written for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asrkit.errors import UserError
from asrkit.experiment.ablation.applied import applied_of, notes_on
from asrkit.experiment.ablation.plan import Planned, Study
from asrkit.files import write_text
from asrkit.reports.ablation.contents import contents
from asrkit.reports.ablation.forest import draw_forest
from asrkit.reports.ablation.numbers import Place, Rate, RowNumbers, Scored, corrected, rate_of
from asrkit.reports.commands import read_commands
from asrkit.reports.html_page import as_page
from asrkit.reports.parts import Part, as_markdown
from asrkit.run_files import read_epochs
from asrkit.run_folder import RunFolder
from asrkit.scoring.error_tables import read_counts


def numbers_of(
    study: Study, plan: Sequence[Planned], problems: Mapping[str, str]
) -> list[RowNumbers]:
    """Returns the numbers of all rows.

    Args:
        study: What was asked for.
        plan: Its base and variants.
        problems: Why rows are not done, by row.
    """
    base = {place: _scored(study, plan[0], place) for place in study.decoded.places()}
    return corrected([_numbers(study, each, plan[0], base, problems) for each in plan])


def write_report(
    study: Study, rows: Sequence[RowNumbers], before: Sequence[Part] = ()
) -> list[Path]:
    """Writes the section, the page and the plot of a study.

    Args:
        study: What was asked for.
        rows: Its numbers.
        before: What is told before them.

    Returns:
        The files.
    """
    folder = study.folder
    forest = draw_forest(rows, study.decoded.last(), folder.forest)
    commands = read_commands(RunFolder(folder.path).commands)
    title = folder.path.resolve().name
    parts = contents(title, rows, study.decoded, commands, forest, before)
    write_text(folder.section, as_markdown(parts))
    write_text(folder.page, as_page(title, parts))
    return [folder.section, folder.page, *([] if forest is None else [forest])]


def _scored(study: Study, planned: Planned, place: Place) -> Scored:
    """Returns the errors of each utterance, by seed, of the rows that were scored."""
    found = {}
    for row in planned.rows:
        decoded = study.folder.decoded(row.name, place.search, place.epoch, place.set_name)
        if decoded.score.is_file():
            counts = read_counts(decoded.utterances, 2)
            found[row.seed] = {id: counted.errors for id, counted in counts.items()}
    return found


def _numbers(
    study: Study,
    planned: Planned,
    base: Planned,
    of_base: dict[Place, Scored],
    problems: Mapping[str, str],
) -> RowNumbers:
    """Returns what is known of a variant."""
    is_base = planned is base
    scored = {place: _scored(study, planned, place) for place in of_base}
    logs = {row.seed: log_of(study, row.name) for row in planned.rows}
    first, names = logs[planned.rows[0].seed], [row.name for row in planned.rows]
    rates, unlike = _rates(scored, {} if is_base else of_base)
    return RowNumbers(
        name=planned.variant.name,
        remark=planned.variant.remark,
        changes=planned.changes,
        parameters=planned.parameters,
        hours={seed: log[-1]["seconds"] / 3600 for seed, log in logs.items() if log},
        scores={seed: judged(log[-1], planned) for seed, log in logs.items() if log},
        rates=rates,
        missing=[*(f"{name}: {problems[name]}" for name in names if name in problems), *unlike],
        notes=[] if is_base else notes_on(planned.changes, logs, _logs(study, base)),
        applied=applied_of(first),
    )


def judged(entry: Mapping[str, Any], planned: Planned) -> float:
    """Returns what a training is judged by after an epoch of its log; lower is better."""
    judged_by = planned.tree["training"].get("judged_by")
    found = entry.get("objective") if judged_by is None else entry["dev"].get(judged_by)
    return math.nan if found is None else float(found)  # older logs lack it


def _rates(
    scored: Mapping[Place, Scored], base: Mapping[Place, Scored]
) -> tuple[dict[Place, Rate], list[str]]:
    """Returns the error rates of a row, where it has some, against the base and the first search.

    Also returns why it has none where it was scored on something else.

    Args:
        scored: Of the row, those of the first search first.
        base: Of the base; empty for itself.
    """
    found, unlike = {}, []
    for place, ours in scored.items():
        first = next(each for each in scored if (each.set_name, each.epoch) == _table(place))
        if ours:
            others = None if first == place else scored[first]
            try:
                found[place] = rate_of(ours, base.get(place), others)
            except UserError as error:
                unlike.append(f"{place}: {error}")
    return found, unlike


def _table(place: Place) -> tuple[str, int]:
    return place.set_name, place.epoch


def _logs(study: Study, planned: Planned) -> dict[int, list[dict[str, Any]]]:
    return {row.seed: log_of(study, row.name) for row in planned.rows}


def log_of(study: Study, row: str) -> list[dict[str, Any]]:
    """Returns the epochs of a row; none where it has not begun."""
    path = study.folder.run(row).log
    return read_epochs(path) if path.is_file() else []
