"""The verb `asrkit diff`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit.cli.options import FILE
from asrkit.terminal import say

if TYPE_CHECKING:
    from asrkit.experiment.compare import Difference


@click.command()
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
def diff(first: Path, second: Path) -> Difference:
    """Show the keys in which two specs or run folders differ, including defaults.

    Of runs, it also shows what their trainings really did where that differs: shares of masked
    frames, of skipped layers, of each loss in the gradient.

    Example: asrkit diff run/first run/second
    """
    from asrkit import experiment

    found = experiment.diff(first, second)
    lines = [*found.changes, *(f"what training did: {line}" for line in found.applied)]
    say("\n".join(lines) or "no difference")
    return found
