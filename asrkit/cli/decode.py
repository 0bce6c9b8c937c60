"""The verb `asrkit decode`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from asrkit.cli.options import (
    FILE,
    SEARCH,
    checkpoint_option,
    data_option,
    overrides_argument,
    run_option,
    set_option,
    threads_option,
)
from asrkit.run_files import Summary
from asrkit.terminal import table


@click.command()
@run_option
@data_option
@set_option
@click.option(
    "--search", type=SEARCH, required=True, help="Name of a search below decoding: in the spec."
)
@checkpoint_option
@click.option("--spec", type=FILE, help="File whose decoding: replaces that of the run.")
@threads_option
@overrides_argument
def decode(
    run: Path,
    data: Path,
    set_name: str,
    search: str,
    checkpoint: str,
    spec: Path | None,
    overrides: tuple[str, ...],
) -> Summary:
    """Decode a set with a trained run; KEY=VALUE changes the search.

    data.decoding.max_seconds and data.decoding.batch_seconds can be changed as well. Utterances
    need no transcript.

    Example: asrkit decode --run run/first --data data --set dev --search joint beam_size=20
    """
    from asrkit import experiment

    summary = experiment.decode(run, data, set_name, search, checkpoint, spec, overrides)
    rows = [(name, str(value)) for name, value in asdict(summary).items() if name != "set"]
    table(f"{search} on {set_name}", ["what", "value"], rows)
    return summary
