"""The verb `asrkit files`."""

from __future__ import annotations

from pathlib import Path

import click

from asrkit.cli.options import FILE
from asrkit.config.yaml_loader import files_of


@click.command()
@click.argument("specs", type=FILE, nargs=-1, required=True)
def files(specs: tuple[Path, ...]) -> None:
    """List the files that SPEC files are read from: themselves and what they extend.

    Example: asrkit files conf/conformer.yaml
    """
    for path in dict.fromkeys(path for spec in specs for path in files_of(spec)):
        click.echo(path)
