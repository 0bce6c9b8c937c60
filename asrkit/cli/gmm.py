"""The verb `asrkit gmm`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit.cli.options import FILE, data_option, jobs_option, overrides_argument, run_option
from asrkit.terminal import table

if TYPE_CHECKING:
    from asrkit.experiment.gmm import GmmReport

STAGES = ("mono", "tri", "lda_mllt", "sat")


@click.command()
@click.argument("spec", type=FILE)
@data_option
@run_option
@click.option(
    "--last", type=click.Choice(STAGES), default="sat", show_default=True, help="The last stage."
)
@jobs_option
@overrides_argument
def gmm(
    spec: Path, data: Path, run: Path, last: str, jobs: int, overrides: tuple[str, ...]
) -> GmmReport:
    """Train Gaussian mixtures of a SPEC file; the same command continues after an interruption.

    Their stages are monophones (mono), tied triphones (tri), the same on projected features
    (lda_mllt), and with a transform for every speaker (sat). Each is a run folder RUN/STAGE.

    Example: asrkit gmm conf/gmm.yaml --data data --run run/gmm mixtures.triphones.states=1000
    """
    from asrkit import experiment

    report = experiment.gmm(spec, overrides, data, run, jobs, last)
    rows = [
        (name, str(f["states"]), str(f["gaussians"]), f"{f['log_likelihood']:.2f}",
         str(f["not_aligned"]), f"{f['seconds']:.0f}")
        for name, f in report.stages.items()
    ]  # fmt: skip
    heading = ["stage", "states", "Gaussians", "log p per frame", "not aligned", "seconds"]
    table(str(run), heading, rows)
    return report
