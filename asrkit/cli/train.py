"""The verb `asrkit train`."""

from __future__ import annotations

from pathlib import Path

import click

from asrkit.cli.options import FILE, data_option, overrides_argument, run_option, threads_option
from asrkit.output import forgive


@click.command()
@click.argument("spec", type=FILE)
@data_option
@run_option
@threads_option
@overrides_argument
def train(spec: Path, data: Path, run: Path, overrides: tuple[str, ...]) -> None:
    """Train the model of a SPEC file; the same command goes on after an interruption.

    Example: asrkit train conf/conformer.yaml --data data --run run/first training.epochs=20

    On several GPUs: torchrun --standalone --nproc-per-node 4 -m -- asrkit train ...
    """
    from asrkit import experiment

    forgive("stdout")
    experiment.train(spec, overrides, data, run)
