"""The verb `asrkit chain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit.cli.options import FOLDER, data_option, run_option
from asrkit.terminal import say

if TYPE_CHECKING:
    from asrkit.experiment.chain import ChainReport


@click.command()
@run_option
@data_option
@click.option(
    "--alignments",
    "source",
    type=FOLDER,
    required=True,
    help="Run whose `asrkit align` has aligned the words of all sets, such as a stage of mixtures.",
)
@click.option("--set", "sets", multiple=True, required=True, help="Set that is trained on.")
@click.option("--dev", "dev", multiple=True, help="Another set whose alignments are needed.")
@click.option(
    "--states", type=click.IntRange(min=2), default=2000, show_default=True,
    help="Most tied states.",
)  # fmt: skip
@click.option(
    "--step", type=click.IntRange(min=1), default=3, show_default=True,
    help="Frames of features in a frame that the network scores.",
)  # fmt: skip
@click.option(
    "--order", type=click.IntRange(min=3), default=4, show_default=True,
    help="Phones of the longest n-grams.",
)  # fmt: skip
@click.option(
    "--extra", type=click.IntRange(min=0), default=2000, show_default=True,
    help="Histories of the longest n-grams, besides all of two phones.",
)  # fmt: skip
def chain(
    run: Path,
    data: Path,
    source: Path,
    sets: tuple[str, ...],
    dev: tuple[str, ...],
    states: int,
    step: int,
    order: int,
    extra: int,
) -> ChainReport:
    """Make the tied states and the phone n-gram that a head of type lf_mmi is trained on.

    RUN is then what a spec's data.alignments names. Its states ask for the phone before only, and
    hold phones of a single frame of 30 ms.

    Example: asrkit chain --run run/c --data data --alignments run/sat --set train --dev dev
    """
    from asrkit import experiment

    settings = experiment.ChainSettings(states, step, order, extra)
    report = experiment.chain(run, source, data, sets, dev, settings)
    say("\n".join(report.lines()))
    return report
