"""The verb `asrkit show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit.cli.options import FILE, FOLDER, overrides_argument
from asrkit.terminal import say

if TYPE_CHECKING:
    from asrkit.experiment.model_tree import ModelTree


@click.command()
@click.argument("spec", type=FILE)
@click.option("--data", type=FOLDER, help="Data folder, for the size of the vocabulary.")
@overrides_argument
def show(spec: Path, data: Path | None, overrides: tuple[str, ...]) -> ModelTree:
    """Show the modules of a SPEC file's model with their parameter counts.

    Example: asrkit show conf/conformer.yaml
    """
    from asrkit import experiment

    found = experiment.show(spec, overrides, data)
    say(found)
    return found
