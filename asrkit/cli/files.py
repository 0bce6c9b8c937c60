"""The verb `asrkit files`."""

from __future__ import annotations

from pathlib import Path

import click

from asrkit.cli.options import FILE
from asrkit.config.plugins import plugin_files
from asrkit.config.yaml_loader import files_of


@click.command()
@click.argument("specs", type=FILE, nargs=-1, required=True)
def files(specs: tuple[Path, ...]) -> None:
    """List the files that SPEC files are read from: themselves, what they extend, plugins.

    Example: asrkit files conf/conformer.yaml
    """
    found = (path for spec in specs for path in [*files_of(spec), *plugin_files(spec)])
    for path in dict.fromkeys(found):
        click.echo(path)
