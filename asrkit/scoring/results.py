"""RESULTS.md, generated from run folders: every number beside the commands that made it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from asrkit.config.explain import difference
from asrkit.errors import UserError
from asrkit.files import write_text
from asrkit.scoring.hub5 import compare_segments
from asrkit.scoring.report import folded, markdown_table, read_json, read_text
from asrkit.scoring.search_table import listed_searches, search_of, search_section
from asrkit.scoring.wer import Comparison, Errors, paired_test

INTRODUCTION = """# Results

Generated from run folders by `tools/results_table.py`; do not edit. WER in percent with the 95 %
bootstrap interval over utterances. S / D / I: substituted, deleted, inserted words. RTF is the
time of encoder and search over the audio's duration. Telephone test sets are scored as NIST does,
with rows for the corpora that they consist of. A run's hours are the time of its training
steps. Where a run has a parent, P(noise) is how often mere chance of the test set would give a
difference like theirs (paired bootstrap, two-sided). Searches that were tuned and compared with one
another stand in a table of their own, in the section of their run. What is said of a run in words
stands in `results/RUN.md`, and is taken from there.
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
    header = ["run", "set", "search", "WER", "95 %", "S / D / I", "CER"]
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
                _counts(score["errors"]),
                f"{score['cer']:.2f}",
                *shared,
                f"{summary['rtf']:.4f}",
                *shared_end,
            ]
        )
        for part in _corpora(score):
            cells = [f"{folder.name}, {part['title']}", folder.parent.name, f"{part['wer']:.2f}"]
            rest = [""] * (len(rows[-1]) - len(cells) - 3)
            rows.append([run.name, *cells, "", _counts(part["errors"]), *rest])
    return rows


def _counts(errors: dict[str, int]) -> str:
    return " / ".join(str(errors[key]) for key in ("substitutions", "deletions", "insertions"))


def _corpora(score: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the parts of a set that its STM file says are other corpora."""
    return [part for part in score.get("parts", {}).values() if part["group"] == 1]


def _scored(run: Path) -> list[Path]:
    """Returns the folders RUN/decode/SEARCH/SET that have scores."""
    folders = sorted(path.parent for path in run.glob("decode/*/*/score.json"))
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
    parts += [f"```\n{made}\n```\n", _against_parent(run)]
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
    return read_text(run / "commands.txt").strip().splitlines()


def _against_parent(run: Path) -> str:
    """Returns what a run changes against its parent, in spec and word errors, if it has one."""
    resolved = yaml.safe_load(read_text(run / "resolved.yaml"))
    if not resolved.get("parent"):
        return ""
    parent = run.parent / resolved["parent"]
    if not (parent / "resolved.yaml").is_file():
        raise UserError(
            f"{run}: the spec names parent {resolved['parent']!r}, but {parent} is no run folder"
        )
    other = yaml.safe_load(read_text(parent / "resolved.yaml"))
    changes = [line for line in difference(other, resolved) if not line.startswith("parent")]
    shown = "\n".join(changes) or "(nothing)"
    header = ["set", "search", "WER", f"WER of {parent.name}", "difference", "P(noise)"]
    table = markdown_table(header, _comparisons(run, parent))
    return f"Changes against {parent.name}:\n\n```\n{shown}\n```\n\n{table}"


def _comparisons(run: Path, parent: Path) -> list[list[str]]:
    rows = []
    for folder in _scored(run):
        theirs = parent / folder.relative_to(run)
        cells = [folder.name, folder.parent.name, f"{read_json(folder / 'score.json')['wer']:.2f}"]
        by_segments = (folder / "segments.tsv").is_file()
        if (theirs / ("segments.tsv" if by_segments else "utterances.tsv")).is_file():
            compare = compare_segments if by_segments else _compare_utterances
            found = compare(folder, theirs)
            cells += [f"{found.other:.2f}", f"{found.difference:+.2f}"]
            rows.append([*cells, f"{found.probability_of_noise:.3f}"])
        else:
            rows.append([*cells, "not scored", "", ""])
    return rows


def _compare_utterances(folder: Path, other_folder: Path) -> Comparison:
    """Compares errors as they were counted when the sets were scored, whatever the rules."""
    path, other = folder / "utterances.tsv", other_folder / "utterances.tsv"
    ours, theirs = _errors(path), _errors(other)
    if ours.keys() != theirs.keys():
        different = sorted(ours.keys() ^ theirs.keys())
        raise UserError(
            f"{path} and {other} have other utterances, such as {different[0]}: they can't be "
            "compared; decode and score both runs on the same set"
        )
    return paired_test(list(ours.values()), [theirs[name] for name in ours])


def _errors(path: Path) -> dict[str, Errors]:
    rows = [line.split("\t") for line in read_text(path).splitlines()[1:]]
    return {name: Errors(int(s), int(d), int(i), int(n)) for name, _, n, s, d, i in rows}


def _facts(run: Path) -> dict[str, Any]:
    path = run / "environment.json"
    if not path.is_file():
        raise UserError(f"{run} is no run folder: {path} is missing")
    return read_json(path)


def _log(run: Path) -> list[dict[str, Any]]:
    path = run / "log.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    if not lines:
        raise UserError(f"{run} has no finished epoch in {path}")
    return [json.loads(line) for line in lines]
