"""The section of RESULTS.md that an ablation study gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from asrkit.ablation_folder import AblationFolder
from asrkit.files import copy_file, read_lines
from asrkit.reports import markdown
from asrkit.reports.ablation.cells import (
    EXPLAINED,
    Cells,
    applied_table,
    epochs_table,
    main_table,
)
from asrkit.reports.ablation.numbers import RowNumbers, reading


def section(
    title: str,
    rows: Sequence[RowNumbers],
    sets: Sequence[str],
    epochs: Sequence[int],
    commands: Sequence[str],
    forest: Path | None,
) -> str:
    """Returns the results of a study in Markdown.

    Args:
        title: Of the section.
        rows: The base first, then the variants.
        sets: Those that were decoded.
        epochs: After which they were.
        commands: That made the numbers.
        forest: The plot, as the section names it, if there is one.
    """
    parts = [
        f"## {markdown.escaped(title)}\n",
        markdown.fenced("\n".join(commands)),
        EXPLAINED + "\n",
    ]
    for name in sets:
        parts.append(f"### {markdown.escaped(name)}\n")
        parts.append("\n".join(reading(rows, (name, epochs[-1]))) + "\n")
        parts.append(_table(main_table(rows, name, epochs)))
        if epochs[1:]:
            parts.append(_table(epochs_table(rows, name, epochs)))
    if forest is not None:
        parts.append(markdown.picture(f"{title}: differences to the base", str(forest)))
    parts += _notes(rows)
    parts.append("### Changes\n")
    parts.append(markdown.fenced("\n".join(_changes(rows))))
    measured = applied_table(rows)
    if measured.header[1:]:
        parts.append("### What was applied\n")
        parts.append("Shares over all epochs of the first seed, as they were measured.\n")
        parts.append(_table(measured))
    return "\n".join(parts)


def study_section(study: Path, out: Path) -> str:
    """Returns the section that a study has written, for a file of results elsewhere.

    Args:
        study: Its folder.
        out: The Markdown file; the plot goes to a folder `results` next to it.
    """
    folder = AblationFolder(study)
    text = "\n".join(read_lines(folder.section)) + "\n"
    if not folder.forest.is_file():
        return text
    copied = out.parent / "results" / f"{study.name}-{folder.forest.name}"
    copied.parent.mkdir(parents=True, exist_ok=True)
    copy_file(folder.forest, copied)
    return text.replace(f"]({folder.forest.name})", f"]({quote(f'results/{copied.name}')})")


def _table(cells: Cells) -> str:
    """Returns a table, names of rows whose difference is real in bold; numbers are no marks."""
    rows = []
    for number, (name, *numbers) in enumerate(cells.rows):
        shown = markdown.escaped(name)
        rows.append([f"**{shown}**" if number in cells.strong else shown, *numbers])
    return markdown.table([markdown.escaped(cell) for cell in cells.header], rows)


def _notes(rows: Sequence[RowNumbers]) -> list[str]:
    """Returns what must be known of rows: what is missing, and what was never applied."""
    lines = [
        f"- {markdown.escaped(row.name)}: {markdown.escaped(text)}"
        for row in rows
        for text in (*row.notes, *row.missing)
    ]
    return ["### Notes\n", "\n".join(lines) + "\n"] if lines else []


def _changes(rows: Sequence[RowNumbers]) -> list[str]:
    lines = []
    for row in rows[1:]:
        lines.append(f"{row.name}: {row.remark}" if row.remark else f"{row.name}:")
        lines += [f"  {line}" for line in row.changes]
    return lines
