#!/usr/bin/env python3
"""Prints the names of the searches of a spec file, a line each.

python tools/search_names.py conf/decode/table.yaml
"""

from __future__ import annotations

from pathlib import Path

import click

from asrkit.config.yaml_loader import load
from asrkit.errors import UserError


@click.command()
@click.argument("spec", type=click.Path(path_type=Path))
def main(spec: Path) -> None:
    """Prints the names of the searches below decoding: of a spec file."""
    try:
        tree = load(spec).tree
    except UserError as error:
        raise click.ClickException(str(error)) from error
    names = tree.get("decoding") or {}
    if not names:
        raise click.ClickException(f"{spec} has no searches below decoding:")
    click.echo("\n".join(names))


if __name__ == "__main__":
    main()
