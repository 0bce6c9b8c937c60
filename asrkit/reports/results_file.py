"""A RESULTS.md as it is: the rows and sections of its runs, so that they stay when others come.

Most runs of a results file are of another machine or another year, and their folders are gone. What
the file says of them is all there is; it is kept word by word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asrkit.errors import UserError
from asrkit.files import read_lines
from asrkit.reports import markdown
from asrkit.reports.run_texts import NONE, read_text

TITLE = "# Results"
_HEADING = re.compile(r"^## (.*)$")

Row = dict[str, str]
"""Cells by the titles of their columns."""


@dataclass(frozen=True)
class Results:
    """What a results file says, run by run.

    Args:
        rows: Of the table, by the name of the run.
        sections: Below the table, with their headings.
    """

    rows: dict[str, list[Row]] = field(default_factory=dict)
    sections: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The runs, in the order of the table, then those that have a section only."""
        return list(dict.fromkeys([*self.rows, *self.sections]))

    def without(self, names: Sequence[str]) -> Results:
        """Returns what the file says of the other runs."""
        return Results(
            {name: rows for name, rows in self.rows.items() if name not in names},
            {name: text for name, text in self.sections.items() if name not in names},
        )


def read_results(path: Path) -> Results:
    """Returns what a results file says; nothing where there is none.

    Raises:
        UserError: If the file is another one, which must not be written over.
    """
    lines = list(read_lines(path)) if path.is_file() else []
    if not any(lines):
        return Results()
    if lines[0] != TITLE:
        raise UserError(
            f"{path} does not begin with '{TITLE}': it is not a results file and would be "
            "overwritten; move it, or give another file"
        )
    head, sections = _split(lines)
    rows: dict[str, list[Row]] = {}
    for row in _rows(head):
        rows.setdefault(markdown.unescaped(row["run"]), []).append(row)
    return Results(rows, sections)


def _split(text: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Returns the lines before the first section, and the sections by run."""
    head: list[str] = []
    sections: dict[str, list[str]] = {}
    lines = head
    for line, is_outside in markdown.outside_blocks(text):
        found = _HEADING.match(line) if is_outside else None
        if found:
            lines = sections.setdefault(markdown.unescaped(found[1]), [])
        lines.append(line)
    return head, {name: "\n".join(part).rstrip("\n") + "\n" for name, part in sections.items()}


def _rows(lines: Sequence[str]) -> list[Row]:
    cells = [markdown.cells_of(line) for line in lines if line.startswith("|")]
    if not cells or "run" not in cells[0]:
        return []
    header = cells[0]
    rows = [row for row in cells[2:] if len(row) == len(header)]
    return [dict(zip(header, row, strict=True)) for row in rows]


def joined(header: Sequence[str], rows: Sequence[Row]) -> str:
    """Returns the table of rows that may be of different versions; columns may be missing there."""
    if not rows:
        return ""
    columns = list(dict.fromkeys([*header, *(title for row in rows for title in row)]))
    return markdown.table(columns, [[row.get(title, NONE) for title in columns] for row in rows])


def notes_on(name: str, out: Path) -> str:
    """Returns what people say of a run in `results/NAME.md` next to a file; nothing without it."""
    path = out.parent / "results" / f"{name}.md"
    return below(path, read_text(path)) if path.is_file() else ""


def below(path: Path, text: str) -> str:
    """Returns what people say of a run, whose headings are made to stand below that of the run.

    Raises:
        UserError: If a block of code is not closed: all sections after it would belong to it.
    """
    lines = list(markdown.outside_blocks([*text.split("\n"), ""]))
    if not lines[-1][1]:
        raise UserError(f"{path}: a block of code is not closed: end it by the line it begins with")
    return "\n".join(
        re.sub(r"^#{1,2}(?= )", "###", line) if is_outside else line
        for line, is_outside in lines[:-1]
    )
