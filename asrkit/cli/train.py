"""The verb `asrkit train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit.cli.options import FILE, data_option, overrides_argument, run_option, threads_option
from asrkit.output import forgive

if TYPE_CHECKING:
    from asrkit.experiment.train import Trained


@click.command()
@click.argument("spec", type=FILE)
@data_option
@run_option
@threads_option
@overrides_argument
def train(spec: Path, data: Path, run: Path, overrides: tuple[str, ...]) -> Trained:
    """Train the model of a SPEC file; the same command continues after an interruption.

    Example: asrkit train conf/conformer.yaml --data data --run run/first training.epochs=20

    On several GPUs: torchrun --standalone --nproc-per-node 4 -m -- asrkit train ...
    """
    from asrkit import experiment

    forgive("stdout")
    return experiment.train(spec, overrides, data, run)
