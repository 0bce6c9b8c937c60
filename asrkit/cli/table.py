"""The verb `asrkit table`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from asrkit.cli.options import FILE, FOLDER, SEARCH, SET
from asrkit.errors import UserError
from asrkit.run_folder import RunFolder
from asrkit.terminal import say


@dataclass(frozen=True)
class SearchTables:
    """The tables of runs' searches, in Markdown, and the file that has them."""

    file: Path
    text: str


@click.command(name="table")
@click.option(
    "--run",
    "runs",
    type=FOLDER,
    multiple=True,
    required=True,
    help="Folder of a run; repeatable: several are compared with the first, for which give --out.",
)
@click.option("--dev", type=SET, required=True, help="Set that weights were tuned on.")
@click.option(
    "--test", "tests", type=SET, multiple=True, required=True, help="Set to report; repeatable."
)
@click.option(
    "--search",
    "searches",
    type=SEARCH,
    multiple=True,
    help="Search to list; repeatable. All if not given.",
)
@click.option("--spec", type=FILE, help="Spec file with table:, for rows and columns.")
@click.option("--out", type=FILE, help="Markdown file to write; one in RUN if not given.")
def table_of_searches(
    runs: tuple[Path, ...],
    dev: str,
    tests: tuple[str, ...],
    searches: tuple[str, ...],
    spec: Path | None,
    out: Path | None,
) -> SearchTables:
    """Compare the searches of a run: weights, WER with interval, RTF, search errors, commands.

    With --spec, the table has the rows and columns of that file. RESULTS.md includes the tables in
    the section of the run. Of several runs, it has a row for each of them and a column for each
    search, and says what differs from the first for certain.

    Example: asrkit table --run run/first --dev dev --test test --spec conf/decode/table.yaml
    """
    from asrkit import experiment

    if runs[1:] and out is None:
        raise UserError("a table of several runs is in none of their folders: give --out")
    file = out or RunFolder(runs[0]).search_tables
    text = experiment.table(runs, dev, tests, searches, spec, file)
    say(text)
    return SearchTables(file, text)
