"""Parts of a report, from which its Markdown and its page for browsers are made alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asrkit.reports import markdown


@dataclass(frozen=True)
class Heading:
    """A heading.

    Args:
        text: Its words.
        level: 2 for the whole report, 3 for its parts, and so on.
    """

    text: str
    level: int = 3


@dataclass(frozen=True)
class Paragraph:
    """Sentences."""

    sentences: Sequence[str]


@dataclass(frozen=True)
class Cells:
    """A table.

    Args:
        header: Its columns.
        rows: Their cells.
        strong: Numbers of the rows that are set off.
    """

    header: list[str]
    rows: list[list[str]]
    strong: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Code:
    """Lines that are shown as they are."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Points:
    """A list of points, in no order."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Picture:
    """A picture.

    Args:
        title: What it shows.
        file: PNG file, in the folder of the report.
    """

    title: str
    file: Path


Part = Heading | Paragraph | Cells | Code | Points | Picture


def as_markdown(parts: Sequence[Part]) -> str:
    """Returns a report in Markdown; pictures are named as files next to it."""
    return "\n".join(_SHOWN[type(part)](part) for part in parts)


def _heading(part: Heading) -> str:
    return f"{'#' * part.level} {markdown.escaped(part.text)}\n"


def _paragraph(part: Paragraph) -> str:
    return "\n".join(part.sentences) + "\n"


def _table(part: Cells) -> str:
    """Returns a table, the first cells of strong rows in bold; numbers are no marks."""
    rows = []
    for number, (name, *numbers) in enumerate(part.rows):
        shown = markdown.escaped(name)
        rows.append([f"**{shown}**" if number in part.strong else shown, *numbers])
    return markdown.table([markdown.escaped(cell) for cell in part.header], rows)


def _code(part: Code) -> str:
    return markdown.fenced("\n".join(part.lines))


def _points(part: Points) -> str:
    return "\n".join(f"- {markdown.escaped(line)}" for line in part.lines) + "\n"


def _picture(part: Picture) -> str:
    return markdown.picture(part.title, part.file.name)


_SHOWN: Mapping[type, Callable[[Any], str]] = {
    Heading: _heading,
    Paragraph: _paragraph,
    Cells: _table,
    Code: _code,
    Points: _points,
    Picture: _picture,
}
