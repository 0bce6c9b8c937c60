"""The verb `asrkit show`."""

from __future__ import annotations

from pathlib import Path

import click

from asrkit.cli.options import FILE, FOLDER, overrides_argument
from asrkit.terminal import say


@click.command()
@click.argument("spec", type=FILE)
@click.option("--data", type=FOLDER, help="Data folder, for the size of the vocabulary.")
@overrides_argument
def show(spec: Path, data: Path | None, overrides: tuple[str, ...]) -> None:
    """Show the modules of a SPEC file's model with their parameter counts.

    Example: asrkit show conf/conformer.yaml
    """
    from asrkit import experiment

    say(experiment.show(spec, overrides, data))
