"""The verb `asrkit export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from asrkit.cli.options import FILE, FOLDER, checkpoint_option
from asrkit.terminal import say


@click.command("export")
@click.argument("toolkit", type=click.Choice(["espnet"]))
@click.argument("run", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="Folder that is made.")
@click.option("--config", type=FILE, help="Configuration there; that of the import if not given.")
@checkpoint_option
def export_model(toolkit: Any, run: Path, out: Path, config: Path | None, checkpoint: str) -> Any:
    """Write the model of a RUN as another TOOLKIT loads it.

    Example: asrkit export espnet run/imported --out exp/exported
    """
    from asrkit import experiment

    found = experiment.export_model(toolkit, run, out, config, checkpoint)
    say(f"{found.weights}: {found.tensors} tensors with {found.numbers:,} numbers")
    return found
