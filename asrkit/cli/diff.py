"""The verb `asrkit diff`."""

from __future__ import annotations

from pathlib import Path

import click

from asrkit.cli.options import FILE
from asrkit.terminal import say


@click.command()
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
def diff(first: Path, second: Path) -> None:
    """Show in which keys two specs or run folders differ, defaults included.

    Example: asrkit diff run/first run/second
    """
    from asrkit import experiment

    say(experiment.diff(first, second))
