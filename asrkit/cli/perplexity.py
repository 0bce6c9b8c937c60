"""The verb `asrkit perplexity`."""

from __future__ import annotations

from pathlib import Path

import click

from asrkit.cli.options import (
    checkpoint_option,
    data_option,
    run_option,
    set_option,
    threads_option,
)
from asrkit.terminal import say


@click.command()
@run_option
@data_option
@set_option
@checkpoint_option
@threads_option
def perplexity(run: Path, data: Path, set_name: str, checkpoint: str) -> None:
    """Say how well a language model predicts the transcripts of a set.

    Example: asrkit perplexity --run run/lm --data data --set dev
    """
    from asrkit import experiment

    found, words = experiment.perplexity(run, data, set_name, checkpoint)
    say(
        f"{set_name}: perplexity {found.per_word(words):.2f} per word, {found.per_token:.2f} per "
        f"label ({found.sentences} sentences with {words} words and {found.tokens} labels, ends "
        "of sentences included)"
    )
