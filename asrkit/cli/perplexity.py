"""The verb `asrkit perplexity`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit.cli.options import (
    checkpoint_option,
    data_option,
    run_option,
    set_option,
    threads_option,
)
from asrkit.terminal import say

if TYPE_CHECKING:
    from asrkit.experiment.perplexity import PerplexityReport


@click.command()
@run_option
@data_option
@set_option
@checkpoint_option
@threads_option
def perplexity(run: Path, data: Path, set_name: str, checkpoint: str) -> PerplexityReport:
    """Print the perplexity of a language model on the transcripts of a set.

    Example: asrkit perplexity --run run/lm --data data --set dev
    """
    from asrkit import experiment

    found = experiment.perplexity(run, data, set_name, checkpoint)
    say(
        f"{set_name}: perplexity {found.per_word:.2f} per word, {found.per_label:.2f} per label "
        f"({found.sentences} sentences with {found.words} words and {found.labels} labels, ends of "
        "sentences included)"
    )
    return found
