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
@click.option("--last", type=int, help="Average the N newest checkpoints, too if --best is given.")
@click.option("--within", default=1.0, help="Only of this last share of the epochs, such as 0.1.")
@click.option("--by", multiple=True, help="The best by a dev score, such as ctc.loss; repeatable.")
def average(
    run: Path, best: int | None, last: int | None, within: float, by: tuple[str, ...]
) -> Written:
    """Average the weights of a run's checkpoints: 5 of the best, if no number is given.

    Example: asrkit average --run run/first --best 2 --last 2 --within 0.1
    """
    from asrkit import experiment
    from asrkit.training.averaging import Averaged

    path = experiment.average(run, Averaged(best, last, within, by))
    say(path)
    return Written([path])
