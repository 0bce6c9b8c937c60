"""What people read while asrkit works: log lines, messages and tables on standard error.

On a terminal they are coloured and folded to its width; in a file every line stays whole. Names in
them may come from anywhere: control characters are shown as escapes.
"""

from __future__ import annotations

import logging
import sys

from rich.console import Console
from rich.logging import RichHandler

from asrkit.escapes import printable

UNFOLDED = 10_000
"""Columns of what is no terminal: no table is wider."""


def console() -> Console:
    """Returns where messages and tables are printed."""
    return Console(stderr=True) if sys.stderr.isatty() else Console(stderr=True, width=UNFOLDED)


def complain(message: str) -> None:
    """Prints why the program ends."""
    place = Console(stderr=True, soft_wrap=True, highlight=False)
    place.print(f"asrkit: {printable(message)}", markup=False, style="red")


def log_to_stderr(level: int = logging.INFO) -> None:
    """Prints what is logged from now on."""
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
