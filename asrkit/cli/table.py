"""The verb `asrkit table`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from asrkit.cli.options import FILE, SEARCH, SET, run_option
from asrkit.run_folder import RunFolder
from asrkit.terminal import say


@dataclass(frozen=True)
class SearchTables:
    """The tables of a run's searches, in Markdown, and the file that has them."""

    file: Path
    text: str


@click.command(name="table")
@run_option
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
    run: Path,
    dev: str,
    tests: tuple[str, ...],
    searches: tuple[str, ...],
    spec: Path | None,
    out: Path | None,
) -> SearchTables:
    """Compare the searches of a run: weights, WER with interval, RTF, search errors, commands.

    With --spec, the table has the rows and columns of that file. RESULTS.md includes the tables in
    the section of the run.

    Example: asrkit table --run run/first --dev dev --test test --spec conf/decode/table.yaml
    """
    from asrkit import experiment

    file = out or RunFolder(run).search_tables
    text = experiment.table(run, dev, tests, searches, spec, file)
    say(text)
    return SearchTables(file, text)
