"""RESULTS.md, generated from run folders: every number with the commands that made it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asrkit.ablation_folder import reported_study
from asrkit.errors import UserError
from asrkit.files import copy_file, write_text
from asrkit.reports.ablation.section import study_section
from asrkit.reports.commands import option_of, read_commands
from asrkit.reports.confidences import confidences_section
from asrkit.reports.markdown import escaped, fenced, folded, picture
from asrkit.reports.parents import against_parent
from asrkit.reports.results_file import Results, Row, joined, notes_on
from asrkit.reports.run_texts import NONE, existing, rtf_text
from asrkit.reports.search_table import listed_searches, search_section
from asrkit.run_files import Environment, Summary, read_epochs, read_run_file
from asrkit.run_folder import DecodedSet, RunFolder
from asrkit.scoring.edits import Errors
from asrkit.scoring.score import Score, ScorePart, read_score

INTRODUCTION = """# Results

Generated from run folders by `tools/results_table.py`; do not edit. WER in percent with two 95 %
bootstrap intervals: from resampling the utterances of the set, and from resampling its speakers,
which is wider where errors depend on who speaks. S / D / I: substituted, deleted, inserted words.
RTF is the time of encoder and search divided by the duration of the audio. Telephone test sets are
scored like NIST does, with rows for the corpora they consist of. Hours are the time of all training
steps. If a run has a parent, P(noise) is how often chance alone would produce a difference like
theirs or a larger one: an exact two-sided sign-flip permutation test, with utterances or speakers
as units. Columns with just `P(noise)` as heading are older: a paired bootstrap over utterances,
whose small values are too small. Searches that were tuned and compared with each other have a table
in the section of their run. A run's own notes are kept in `results/RUN.md` and copied from there. A
row with – is older than the column.
"""
TAIL = 3
"""Epochs of the log that are shown."""


HEADER = [
    *("run", "set", "search", "WER", "95 %", "95 %, speakers", "S / D / I", "CER"),
    *("words", "utterances", "parameters", "epochs", "hours", "RTF", "device", "revision"),
]
NOTHING = Results()


def write_results(runs: Sequence[Path], out: Path, earlier: Results = NOTHING) -> str:
    """Writes the table of some runs, with their commands, logs and learning curves.

    Args:
        runs: Run folders, and folders of ablation studies and sweeps, which have a section only.
        out: The Markdown file; plots go to a folder `results` next to it, where RUN.md may have
            notes on a run, STUDY.md on a study.
        earlier: Runs that stay in the file as they are; those that have a folder take their places.

    Returns:
        The table.

    Raises:
        UserError: If a run was not trained, decoded or scored, or its parent is missing.
    """
    runs = [Path(os.path.abspath(run)) for run in runs]  # for their names: `.` has none
    names = [RunFolder(run).name for run in runs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(
            f"two runs are called {min(twice)!r}: results distinguish runs by their names"
        )
    studies = [run for run in runs if reported_study(run) is not None]
    rows = earlier.rows | {RunFolder(run).name: _rows(run) for run in runs if run not in studies}
    sections = earlier.sections | {
        RunFolder(run).name: (study_section if run in studies else _section)(run, out)
        for run in runs
    }
    table = joined(HEADER, [row for each in rows.values() for row in each])
    parts = [sections[name] for name in Results(rows, sections).names if name in sections]
    write_text(out, "\n".join([INTRODUCTION, table, *parts]))
    return table


def _rows(run: Path) -> list[Row]:
    return [dict(zip(HEADER, cells, strict=True)) for cells in _cells(run)]


def _cells(run: Path) -> list[list[str]]:
    facts, log = _facts(run), _log(run)
    shared = [
        f"{facts.parameters / 1e6:.1f} M",
        str(log[-1]["epoch"]),
        f"{log[-1]['seconds'] / 3600:.2f}",
    ]
    shared_end = [f"{facts.device}, {facts.threads} threads", facts.git_revision]
    rows = []
    listed = listed_searches(run)
    for place in _scored(run):
        search, set_name = place.folder.parent.name, place.folder.name
        if search in listed:
            continue  # the run's section has a table of them
        score, summary = read_score(place.score), read_run_file(place.summary, Summary)
        rows.append(
            [
                *(escaped(part) for part in (RunFolder(run).name, set_name, search)),
                f"{score.wer:.2f}",
                f"{score.low:.2f} – {score.high:.2f}",
                _interval_by_speakers(score),
                _counts(score.errors),
                f"{score.cer:.2f}",
                str(score.errors.words),
                score.scored_of,
                *shared,
                rtf_text(summary),
                *shared_end,
            ]
        )
        for part in _corpora(score):
            names = RunFolder(run).name, f"{set_name}, {part.title}", search
            cells = [*map(escaped, names), f"{part.wer:.2f}"]
            segments = NONE if part.segments is None else str(part.segments)
            cells += ["", "", _counts(part.errors), "", str(part.errors.words), segments]
            rows.append([*cells, *[""] * (len(HEADER) - len(cells))])
    return rows


def _interval_by_speakers(score: Score) -> str:
    found = score.by_speakers
    return f"{found.low:.2f} – {found.high:.2f}" if found else NONE


def _counts(errors: Errors) -> str:
    return f"{errors.substitutions} / {errors.deletions} / {errors.insertions}"


def _corpora(score: Score) -> list[ScorePart]:
    """Returns the parts of a set that its STM file says are other corpora."""
    return [part for part in score.parts.values() if part.group == 1]


def _scored(run: Path) -> list[DecodedSet]:
    """Returns the places of all scored sets."""
    found = RunFolder(run).scored_sets()
    if not found:
        raise UserError(f"{run} has no scores; first `asrkit decode` and `asrkit score` its sets")
    return found


def _section(run: Path, out: Path) -> str:
    listed = listed_searches(run)
    made = "\n".join(c for c in _commands(run) if option_of(c, "--search") not in listed)
    parts = [f"## {escaped(RunFolder(run).name)}\n", notes_on(RunFolder(run).name, out)]
    parts += [fenced(made), against_parent(run)]
    if listed:
        parts.append(f"### Searches of {escaped(RunFolder(run).name)}\n\n{search_section(run)}")
    if RunFolder(run).curves.is_file():
        curves = out.parent / "results" / f"{RunFolder(run).name}.png"
        copy_file(RunFolder(run).curves, curves)
        parts.append(picture(f"learning curves of {RunFolder(run).name}", f"results/{curves.name}"))
    parts.append(confidences_section(run, out))
    tail = "\n".join(json.dumps(entry) for entry in _log(run)[-TAIL:])
    parts.append(folded("Last lines of the log", tail))
    return "\n".join(part for part in parts if part)


def _commands(run: Path) -> list[str]:
    return read_commands(existing(RunFolder(run).commands))


def _facts(run: Path) -> Environment:
    path = RunFolder(run).environment
    if not path.is_file():
        raise UserError(f"{run} is not a run folder: {path} is missing")
    return read_run_file(path, Environment)


def _log(run: Path) -> list[dict[str, Any]]:
    path = RunFolder(run).log
    epochs = read_epochs(path, whole=False) if path.is_file() else []
    if not epochs:
        raise UserError(f"{run} has no finished epoch in {path}")
    return epochs
