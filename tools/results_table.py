#!/usr/bin/env python3
"""Writes RESULTS.md from run folders and prints its table.

python tools/results_table.py --out RESULTS.md run/first run/second
python tools/results_table.py --out RESULTS.md --keep run/third
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from asrkit.errors import UserError
from asrkit.reports.results import NOTHING, write_results
from asrkit.reports.results_file import Results, read_results
from asrkit.terminal import say
from asrkit.utf8 import use_utf8


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("RESULTS.md"))
@click.option("--keep", is_flag=True, help="Also keep the runs that are in the file.")
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
def main(out: Path, keep: bool, runs: Sequence[Path]) -> None:
    """Writes RESULTS.md from run folders.

    A run replaces one with the same name. With --keep, all others stay in the file unchanged,
    whether their folders exist or not.
    """
    if not runs and not keep:
        raise click.UsageError("give run folders, or --keep to write the file again as it is")
    try:
        earlier = read_results(out)
        table = write_results(runs, out, earlier if keep else NOTHING)
    except (UserError, OSError) as error:
        raise click.ClickException(str(error)) from error
    say(table)
    given = [os.path.basename(os.path.abspath(run)) for run in runs]
    for line in changes(earlier, given, keep):
        say(line)
    say(f"written to {out.resolve()}")


def changes(earlier: Results, given: Sequence[str], keep: bool) -> list[str]:
    """Returns messages about the runs that were in the file.

    Args:
        earlier: The rows of those runs.
        given: Names of the runs that were written.
        keep: Whether the others stay.
    """
    lines = []
    for name in (name for name in earlier.names if name in given):
        rows = earlier.rows.get(name, [])
        by = ", ".join(dict.fromkeys(row.get("revision", "") for row in rows)) or "unknown"
        lines.append(f"{name}: replaces {len(rows)} rows of that name (revision {by})")
    others = [name for name in earlier.names if name not in given]
    if others:
        what = "kept unchanged" if keep else "no longer in the file, because --keep was not given"
        lines.append(f"{', '.join(others)}: {what}")
    return lines


if __name__ == "__main__":
    use_utf8()
    main()
