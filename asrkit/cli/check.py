"""The verb `asrkit check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit.cli.answers import IncompleteError
from asrkit.cli.options import FILE, FOLDER, overrides_argument
from asrkit.terminal import say

if TYPE_CHECKING:
    from asrkit.experiment import CheckReport


@click.command()
@click.argument("spec", type=FILE)
@click.option("--data", type=FOLDER, help="Data folder; also checks every utterance.")
@click.option(
    "--processes",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of processes (GPUs) in training.",
)
@click.option(
    "--base",
    type=FILE,
    help="Spec file that SPEC is put on: a variant of `ablate`, or a folder of them.",
)
@overrides_argument
def check(
    spec: Path, data: Path | None, processes: int, base: Path | None, overrides: tuple[str, ...]
) -> CheckReport:
    """Check a SPEC file, and with --data every utterance, before training.

    All problems are listed at once. Utterances that can't be used are listed in DATA/unusable, and
    training leaves them out. With --data it also prints what training will look like, and refuses
    what can't work.

    Example: asrkit check conf/conformer.yaml --data data
    Example: asrkit check v --base conf/x.yaml
    """
    from asrkit import experiment

    if base is None:
        report = experiment.check(spec, overrides, data, processes)
    else:
        report = experiment.check_variant(spec, base, overrides, data, processes)
    if report.problems:
        lines = [f"{len(report.problems)} problem(s) in {spec}", *report.lines()]
        raise IncompleteError("\n".join(lines), report)
    say("\n".join([f"{spec}: no problems", *report.lines()]))
    return report
