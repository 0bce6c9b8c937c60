#!/usr/bin/env python3
"""Writes RESULTS.md from run folders and prints its table.

python tools/results_table.py --out RESULTS.md run/first run/second
"""

from __future__ import annotations

from pathlib import Path

import click

from asrkit.errors import UserError
from asrkit.scoring.results import write_results


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("RESULTS.md"))
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
def main(out: Path, runs: tuple[Path, ...]) -> None:
    """Writes RESULTS.md from run folders."""
    try:
        click.echo(write_results(runs, out))
    except UserError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"written to {out.resolve()}")


if __name__ == "__main__":
    main()
