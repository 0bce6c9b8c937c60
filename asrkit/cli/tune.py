"""The verb `asrkit tune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit.cli.options import (
    FILE,
    SEARCH,
    checkpoint_option,
    data_option,
    data_overrides_argument,
    run_option,
    set_option,
    threads_option,
)
from asrkit.terminal import say, table

if TYPE_CHECKING:
    from asrkit.experiment.tune import TuneReport


@click.command()
@run_option
@data_option
@set_option
@click.option(
    "--search", type=SEARCH, required=True, help="Name of a search below decoding: in the spec."
)
@click.option(
    "--vary",
    multiple=True,
    metavar="SCORER[.KEY]=LOW:HIGH",
    help="A weight, or another number of a scorer's entry (ctc.prior_scale), and its range; by "
    "default, the tuning: part of the spec.",
)
@click.option(
    "--decodes",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Decodes after the first; if other settings are tuned too, two thirds of them explore "
    "those.",
)
@checkpoint_option
@click.option("--spec", type=FILE, help="File whose decoding: replaces that of the run.")
@threads_option
@data_overrides_argument
def tune(
    run: Path,
    data: Path,
    set_name: str,
    search: str,
    vary: tuple[str, ...],
    decodes: int,
    checkpoint: str,
    spec: Path | None,
    overrides: tuple[str, ...],
) -> TuneReport:
    """Tune the weights of a search on a dev set, with n-best lists and a few decodes.

    Example: asrkit tune --run run/first --data data --set dev --search joint --vary ctc=0.1:0.9
    """
    from asrkit import experiment
    from asrkit.experiment.tuned_values import read_range

    ranges = dict(read_range(word) for word in vary)
    report = experiment.tune(
        run, data, set_name, search, ranges, decodes, checkpoint, spec, overrides
    )
    rows = [
        (
            ", ".join(f"{name} {weight:g}" for name, weight in trial.weights.items()),
            f"{trial.wer:.2f}",
            f"{trial.low:.2f} – {trial.high:.2f}",
        )
        for trial in report.trials
    ]
    header = ["weights", "WER %", "95 % interval"]
    table(f"{search} on {set_name}", header, rows, bold=report.best)
    path = report.spec
    say(f"the best is in {path}; for other sets: asrkit decode --spec {path} ...")
    return report
