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

INTRODUCTION = """# Results

Generated from run folders by `tools/results_table.py`; do not edit. WER in percent with the 95 %
bootstrap interval over utterances. RTF is the time of encoder and search over the audio's
duration. A run's hours are the time of its training steps.
"""
TAIL = 3
"""Epochs of the log that are shown."""


def write_results(runs: Sequence[Path], out: Path) -> str:
    """Writes the table of some runs, with their commands, logs and learning curves.

    Args:
        runs: Run folders.
        out: The Markdown file; pictures go to a folder `results` beside it.

    Returns:
        The table.

    Raises:
        UserError: If a run was not trained.
    """
    header = ["run", "set", "search", "WER", "95 %", "S / D / I", "CER"]
    header += ["parameters", "epochs", "hours", "RTF", "device", "revision"]
    rows = [row for run in runs for row in _rows(run)]
    table = markdown_table(header, rows)
    sections = [_section(run, out) for run in runs]
    partial = out.with_suffix(".partial")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial.write_text("\n".join([INTRODUCTION, table, *sections]), encoding="utf-8")
    partial.replace(out)
    return table


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table whose columns are aligned in the source, too."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    cells = [[cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"


def _rows(run: Path) -> list[list[str]]:
    facts, log = _facts(run), _log(run)
    shared = [
        f"{facts['parameters'] / 1e6:.1f} M",
        str(log[-1]["epoch"]),
        f"{log[-1]['seconds'] / 3600:.2f}",
    ]
    rows = []
    for score_path in sorted(run.glob("decode/*/*/score.json")):
        score, summary = _json(score_path), _json(score_path.with_name("summary.json"))
        errors = score["errors"]
        counts = (errors["substitutions"], errors["deletions"], errors["insertions"])
        rows.append(
            [
                run.name,
                score_path.parent.name,
                score_path.parent.parent.name,
                f"{score['wer']:.2f}",
                f"{score['low']:.2f} – {score['high']:.2f}",
                " / ".join(map(str, counts)),
                f"{score['cer']:.2f}",
                *shared,
                f"{summary['rtf']:.4f}",
                f"{facts['device']}, {facts['threads']} threads",
                facts["git_revision"],
            ]
        )
    return rows


def _section(run: Path, out: Path) -> str:
    commands = (run / "commands.txt").read_text(encoding="utf-8").strip()
    tail = "\n".join(json.dumps(entry) for entry in _log(run)[-TAIL:])
    parts = [f"## {run.name}\n", "```\n" + commands + "\n```\n", _parent(run)]
    if (run / "curves.png").is_file():
        picture = out.parent / "results" / f"{run.name}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run / "curves.png", picture)
        parts.append(f"![learning curves](results/{picture.name})\n")
    parts.append(f"Last lines of the log:\n\n```\n{tail}\n```\n")
    return "\n".join(part for part in parts if part)


def _parent(run: Path) -> str:
    """Returns what the spec changes against its parent run, if it names one."""
    resolved = yaml.safe_load((run / "resolved.yaml").read_text(encoding="utf-8"))
    parent = resolved.get("parent")
    if not parent:
        return ""
    path = run.parent / parent / "resolved.yaml"
    if not path.is_file():
        raise UserError(f"{run}: the spec names parent {parent!r}, but {path} is missing")
    other = yaml.safe_load(path.read_text(encoding="utf-8"))
    changes = [line for line in difference(other, resolved) if not line.startswith("parent")]
    return f"Against {parent}:\n\n```\n" + "\n".join(changes) + "\n```\n"


def _facts(run: Path) -> dict[str, Any]:
    path = run / "environment.json"
    if not path.is_file():
        raise UserError(f"{run} is no run folder: {path} is missing")
    return _json(path)


def _log(run: Path) -> list[dict[str, Any]]:
    path = run / "log.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    if not lines:
        raise UserError(f"{run} has no finished epoch in {path}")
    return [json.loads(line) for line in lines]


def _json(path: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result
