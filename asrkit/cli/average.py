"""The verb `asrkit average`."""

from __future__ import annotations

from pathlib import Path

import click

from asrkit.cli.answers import Written
from asrkit.cli.options import run_option
from asrkit.terminal import say


@click.command()
@run_option
@click.option("--best", type=int, help="Average the checkpoints with the N lowest dev objectives.")
@click.option("--last", type=int, help="Average the N newest checkpoints instead.")
def average(run: Path, best: int | None, last: int | None) -> Written:
    """Average the weights of a run's checkpoints.

    Example: asrkit average --run run/first --best 5
    """
    from asrkit import experiment

    path = experiment.average(run, best, last)
    say(path)
    return Written([path])
