"""The verb `asrkit search-errors`."""

from __future__ import annotations

from pathlib import Path

import click

from asrkit.cli.options import (
    data_option,
    data_overrides_argument,
    decoded_by_option,
    run_option,
    set_option,
    threads_option,
)
from asrkit.run_files import SearchErrors
from asrkit.terminal import say


@click.command(name="search-errors")
@run_option
@data_option
@set_option
@decoded_by_option
@threads_option
@data_overrides_argument
def search_errors(
    run: Path, data: Path, set_name: str, search: str, overrides: tuple[str, ...]
) -> SearchErrors:
    """Count sentences whose reference scores higher than the result of the search.

    Example: asrkit search-errors --run run/first --data data --set dev --search joint
    """
    from asrkit import experiment

    report = experiment.search_errors(run, data, set_name, search, overrides)
    say(
        f"{set_name} {search}: {report.search_errors} search errors in {report.sentences} "
        f"sentences ({report.rate} %), {report.wrong} wrong sentences, "
        f"{report.unreachable_references} references without a path"
    )
    return report
