#!/usr/bin/env python3
"""Writes RESULTS.md from run folders and prints its table.

python tools/results_table.py --out RESULTS.md run/first run/second
python tools/results_table.py --out RESULTS.md --keep run/third
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click

from asrkit.errors import UserError
from asrkit.files import matching
from asrkit.scoring.results import write_results


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("RESULTS.md"))
@click.option(
    "--keep", is_flag=True, help="Also the runs that are in the file, from their folders."
)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
def main(out: Path, keep: bool, runs: Sequence[Path]) -> None:
    """Writes RESULTS.md from run folders."""
    if keep:
        runs = with_earlier(out, runs)
    try:
        click.echo(write_results(runs, out))
    except UserError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"written to {out.resolve()}")


def with_earlier(out: Path, runs: Sequence[Path]) -> list[Path]:
    """Returns the runs that a results file has, then further ones.

    Those that it has and that are not given must still have their scores beside one that is.
    """
    text = out.read_text(encoding="utf-8") if out.is_file() else ""
    given = {run.name: run for run in runs}
    found: dict[str, Path] = {}
    for name in re.findall(r"^## (\S+)$", text, flags=re.MULTILINE):
        places = [run.parent / name for run in runs]
        beside = [place for place in places if matching(place, "decode/*/*/score.json")]
        if name in given or beside:
            found[name] = given.get(name) or beside[0]
        else:
            click.echo(f"no longer in {out}: {name}, which has no scores beside the runs given")
    return list({**found, **given}.values())


if __name__ == "__main__":
    main()
