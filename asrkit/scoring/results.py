"""RESULTS.md, generated from run folders: every number beside the commands that made it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asrkit.errors import UserError
from asrkit.files import matching, read_lines, write_text
from asrkit.scoring.coverage import coverage_of
from asrkit.scoring.parents import against_parent
from asrkit.scoring.report import NONE, existing, folded, markdown_table, read_json, read_text
from asrkit.scoring.search_table import listed_searches, search_of, search_section

INTRODUCTION = """# Results

Generated from run folders by `tools/results_table.py`; do not edit. WER in percent with its 95 %
bootstrap intervals: from resampling the set's utterances, and from resampling its speakers, which
is wider where errors depend on who speaks. S / D / I: substituted, deleted, inserted words. RTF is
the time of encoder and search over the audio's duration. Telephone test sets are scored as NIST
does, with rows for the corpora that they consist of. A run's hours are the time of its training
steps. Where a run has a parent, P(noise) is how often mere chance of the test set would give a
difference of errors like theirs or a larger one: by an exact sign-flip permutation test, two-sided,
with utterances or speakers as units. Columns that are headed `P(noise)` alone are older: a paired
bootstrap over utterances, whose small values are too small. Searches that were tuned and compared
with one another stand in a table of their own, in the section of their run. What is said of a run
in words stands in `results/RUN.md`, and is taken from there.
"""
TAIL = 3
"""Epochs of the log that are shown."""


def write_results(runs: Sequence[Path], out: Path) -> str:
    """Writes the table of some runs, with their commands, logs and learning curves.

    Args:
        runs: Run folders.
        out: The Markdown file; pictures go to a folder `results` beside it, where RUN.md holds what
            people say of a run, if they do.

    Returns:
        The table.

    Raises:
        UserError: If a run was not trained, decoded or scored, or its parent is missing.
    """
    header = [
        "run",
        "set",
        "search",
        "WER",
        "95 %",
        "95 %, speakers",
        "S / D / I",
        "CER",
        "words",
        "utterances",
    ]
    header += ["parameters", "epochs", "hours", "RTF", "device", "revision"]
    rows = [row for run in runs for row in _rows(run)]
    table = markdown_table(header, rows) if rows else ""
    sections = [_section(run, out) for run in runs]
    write_text(out, "\n".join([INTRODUCTION, table, *sections]))
    return table


def _rows(run: Path) -> list[list[str]]:
    facts, log = _facts(run), _log(run)
    shared = [
        f"{facts['parameters'] / 1e6:.1f} M",
        str(log[-1]["epoch"]),
        f"{log[-1]['seconds'] / 3600:.2f}",
    ]
    shared_end = [f"{facts['device']}, {facts['threads']} threads", facts["git_revision"]]
    rows = []
    listed = listed_searches(run)
    for folder in _scored(run):
        if folder.parent.name in listed:
            continue  # the run's section has a table of them
        score, summary = read_json(folder / "score.json"), read_json(folder / "summary.json")
        rows.append(
            [
                run.name,
                folder.name,
                folder.parent.name,
                f"{score['wer']:.2f}",
                f"{score['low']:.2f} – {score['high']:.2f}",
                _interval_by_speakers(score),
                _counts(score["errors"]),
                f"{score['cer']:.2f}",
                str(score["errors"]["words"]),
                coverage_of(score),
                *shared,
                f"{summary['rtf']:.4f}",
                *shared_end,
            ]
        )
        for part in _corpora(score):
            cells = [f"{folder.name}, {part['title']}", folder.parent.name, f"{part['wer']:.2f}"]
            words, segments = str(part["errors"]["words"]), str(part["segments"])
            cells += ["", "", _counts(part["errors"]), "", words, segments]
            rows.append([run.name, *cells, *[""] * (len(rows[-1]) - len(cells) - 1)])
    return rows


def _interval_by_speakers(score: dict[str, Any]) -> str:
    found = score.get("by_speakers")
    return f"{found['low']:.2f} – {found['high']:.2f}" if found else NONE


def _counts(errors: dict[str, int]) -> str:
    return " / ".join(str(errors[key]) for key in ("substitutions", "deletions", "insertions"))


def _corpora(score: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the parts of a set that its STM file says are other corpora."""
    return [part for part in score.get("parts", {}).values() if part["group"] == 1]


def _scored(run: Path) -> list[Path]:
    """Returns the folders RUN/decode/SEARCH/SET that have scores."""
    folders = [path.parent for path in matching(run, "decode/*/*/score.json")]
    if not folders:
        raise UserError(f"{run} has no scores; first `asrkit decode` and `asrkit score` its sets")
    return folders


def _section(run: Path, out: Path) -> str:
    listed = listed_searches(run)
    made = "\n".join(c for c in _commands(run) if search_of(c) not in listed)
    parts = [f"## {run.name}\n"]
    words = out.parent / "results" / f"{run.name}.md"
    if words.is_file():
        parts.append(read_text(words))
    parts += [f"```\n{made}\n```\n", against_parent(run)]
    if listed:
        parts.append(f"### Searches of {run.name}\n\n{search_section(run)}")
    if (run / "curves.png").is_file():
        picture = out.parent / "results" / f"{run.name}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run / "curves.png", picture)
        parts.append(f"![learning curves of {run.name}](results/{picture.name})\n")
    tail = "\n".join(json.dumps(entry) for entry in _log(run)[-TAIL:])
    parts.append(folded("Last lines of the log", tail))
    return "\n".join(part for part in parts if part)


def _commands(run: Path) -> list[str]:
    return [line for line in read_lines(existing(run / "commands.txt")) if line]


def _facts(run: Path) -> dict[str, Any]:
    path = run / "environment.json"
    if not path.is_file():
        raise UserError(f"{run} is no run folder: {path} is missing")
    return read_json(path)


def _log(run: Path) -> list[dict[str, Any]]:
    path = run / "log.jsonl"
    lines = list(read_lines(path)) if path.is_file() else []
    if not lines:
        raise UserError(f"{run} has no finished epoch in {path}")
    return [json.loads(line) for line in lines]
