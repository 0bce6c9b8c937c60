"""The verb `asrkit prior`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from asrkit.cli.answers import Written
from asrkit.cli.options import (
    FOLDER,
    checkpoint_option,
    data_option,
    data_overrides_argument,
    run_option,
    set_option,
    threads_option,
)
from asrkit.terminal import say


@click.command()
@run_option
@data_option
@set_option
@click.option("--head", default="ctc", show_default=True, help="Name of a head that scores frames.")
@checkpoint_option
@click.option(
    "--mean",
    type=click.Choice(["probabilities", "logarithms"]),
    default="probabilities",
    show_default=True,
    help="What is averaged over frames.",
)
@click.option(
    "--alignments",
    type=FOLDER,
    help="Count the symbols of this run's alignments of the set; no audio is heard.",
)
@threads_option
@data_overrides_argument
def prior(
    run: Path,
    data: Path,
    set_name: str,
    head: str,
    checkpoint: str,
    mean: Literal["probabilities", "logarithms"],
    alignments: Path | None,
    overrides: tuple[str, ...],
) -> Written:
    """Estimate the priors of a head's symbols, for `prior:` of a scorer of type ctc or states.

    Example: asrkit prior --run run/first --data data --set train
    """
    from asrkit import experiment

    if alignments is None:
        path = experiment.estimate_prior(run, data, set_name, head, checkpoint, mean, overrides)
    else:
        path = experiment.count_prior(run, alignments, set_name, head, checkpoint)
    say(path)
    return Written([path])
