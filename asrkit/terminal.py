"""Log lines, messages and tables on standard error.

On a terminal they are coloured and wrapped to its width; in a file, lines are not wrapped. Names in
them may come from anywhere: control characters are escaped.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence

import click
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Column, Table
from rich.text import Text

from asrkit.escapes import printable

LONGEST = 2000
"""Maximum number of characters in a line of a message: quotations may have thousands."""
UNFOLDED = 10_000
"""Width if there is no terminal: no table is wider."""


def console() -> Console:
    """Returns the console for messages and tables."""
    return Console(stderr=True) if sys.stderr.isatty() else Console(stderr=True, width=UNFOLDED)


def say(text: object) -> None:
    """Prints the answer of a verb on standard output."""
    click.echo(printable(str(text)))


def say_as_it_is(text: str, error: bool = False) -> None:
    """Prints a line for other programs, whatever is in it.

    Args:
        text: The line.
        error: Whether it goes to standard error.
    """
    click.echo(text, err=error)


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]], bold: int = -1) -> None:
    """Prints a table.

    Args:
        title: Printed above it.
        header: Names of the columns.
        rows: A cell for each column.
        bold: Number of the row to highlight.
    """
    shown = Table(*(Column(_plain(cell)) for cell in header), title=_plain(title))
    for number, row in enumerate(rows):
        shown.add_row(*map(_plain, row), style="bold" if number == bold else None)
    console().print(shown)


def _plain(text: str) -> Text:
    """Returns a text without markup."""
    return Text(printable(text))


def complain(message: str) -> None:
    """Prints why the program ends."""
    place = Console(stderr=True, soft_wrap=True, highlight=False)
    lines = [
        line if len(line) <= LONGEST else line[:LONGEST] + " …" for line in message.split("\n")
    ]
    shown = "\n".join(lines)
    place.print(f"asrkit: {printable(shown)}", markup=False, style="red")


def log_to_stderr(level: int = logging.INFO) -> None:
    """Prints log messages from now on."""
    handler: logging.Handler
    if sys.stderr.isatty():
        handler = RichHandler(console=console(), show_path=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(
            logging.Formatter("[%(asctime)s] %(levelname)-8s %(message)s", "%Y-%m-%d %H:%M:%S")
        )
    handler.addFilter(_shown)
    logging.basicConfig(level=level, handlers=[handler])


def _shown(record: logging.LogRecord) -> bool:
    record.msg, record.args = printable(record.getMessage()), None
    return True
