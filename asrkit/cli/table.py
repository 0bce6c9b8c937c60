"""The verb `asrkit table`."""

from __future__ import annotations

from pathlib import Path

import click

from asrkit.cli.options import FILE, SEARCH, SET, run_option
from asrkit.terminal import say


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
    help="Search to list; repeatable. Else, all.",
)
@click.option("--out", type=FILE, help="Markdown file to write; RUN/searches.md if not given.")
def table_of_searches(
    run: Path, dev: str, tests: tuple[str, ...], searches: tuple[str, ...], out: Path | None
) -> None:
    """Compare the searches of a run: weights, WER with interval, RTF, search errors, commands.

    Of what is named like opls and opls_lm_ilm the first is a row, the rest a column. RESULTS.md
    will have the tables in the run's section.

    Example: asrkit table --run run/first --dev dev --test test
    """
    from asrkit.scoring.search_table import write_search_table

    say(write_search_table(run, dev, tests, searches, out or run / "searches.md"))
