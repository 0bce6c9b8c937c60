"""The verb `asrkit features`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit.cli.options import data_option, jobs_option, name_of, run_option, set_option
from asrkit.terminal import say

if TYPE_CHECKING:
    from asrkit.experiment.gmm_features import FeatureReport


@click.command()
@run_option
@data_option
@set_option
@click.option(
    "--adapt",
    default="none",
    show_default=True,
    help="What speakers' transforms are estimated on: none, reference, or the name of a search "
    "that has decoded SET-first.",
)
@click.option(
    "--speed", type=click.FloatRange(min=0.5, max=2.0), default=1.0, show_default=True,
    help="At which the audio is played.",
)  # fmt: skip
@click.option(
    "--lexicon",
    type=name_of("a lexicon"),
    help="Name of a lexicon with all words: DATA/lexicon/NAME.txt; the stage's own otherwise.",
)
@jobs_option
def features(
    run: Path,
    data: Path,
    set_name: str,
    adapt: str,
    speed: float,
    lexicon: str | None,
    jobs: int,
) -> FeatureReport:
    """Make the features that Gaussian mixtures hear of a set, for these and for networks.

    RUN is a stage of `asrkit gmm`. RUN/data is then a data folder with a set of features, which is
    decoded, aligned and trained on like one of audio.

    Example: asrkit features --run run/gmm/sat --data data --set train --adapt reference
    """
    from asrkit import experiment

    report = experiment.features(run, data, set_name, adapt, speed, lexicon, jobs)
    say("\n".join(report.lines()))
    return report
