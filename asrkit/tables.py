"""Tables as text: a row per line, tabs between its cells; cells may hold anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from asrkit.escapes import escaped, unescaped
from asrkit.files import read_lines, write_lines


def write_rows(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Writes a table, wholly or not at all; tabs, line ends and the like become escapes."""
    write_lines(path, map(as_line, rows))


def as_line(cells: Sequence[str]) -> str:
    """Returns the line of a row."""
    return "\t".join(map(escaped, cells))


def read_rows(path: Path) -> Iterator[list[str]]:
    """Yields the rows of a table that `write_rows` wrote.

    Raises:
        UserError: If the file is missing or no UTF-8 text.
    """
    for line in read_lines(path):
        yield [unescaped(cell) for cell in line.split("\t")]
