"""Tables as text: a row per line, cells separated by tabs; cells may contain any text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from asrkit.escapes import escaped, unescaped
from asrkit.files import read_lines, write_lines


def write_rows(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Writes a table, completely or not at all; tabs, line ends and the like are escaped."""
    write_lines(path, map(as_line, rows))


def as_line(cells: Sequence[str]) -> str:
    """Returns the line of a row."""
    return "\t".join(map(escaped, cells))


def read_rows(path: Path) -> Iterator[list[str]]:
    """Yields the rows of a table written by `write_rows`.

    Raises:
        UserError: If the file is missing or not UTF-8 text.
    """
    for line in read_lines(path):
        yield [unescaped(cell) for cell in line.split("\t")]
