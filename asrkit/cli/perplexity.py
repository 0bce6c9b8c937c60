"""The verb `asrkit perplexity`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit.cli.options import (
    FILE,
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
@click.option(
    "--arpa",
    type=FILE,
    help="An n-gram model of words: interpolate with it, by the best weights for this set.",
)
@threads_option
def perplexity(
    run: Path, data: Path, set_name: str, checkpoint: str, arpa: Path | None
) -> PerplexityReport:
    """Print the perplexity of a language model on the transcripts of a set.

    Example: asrkit perplexity --run run/lm --data data --set dev
    """
    from asrkit import experiment

    found = experiment.perplexity(run, data, set_name, checkpoint, arpa)
    say(
        f"{set_name}: perplexity {found.per_word:.2f} per word, {found.per_label:.2f} per label "
        f"({found.sentences} sentences with {found.words} words and {found.labels} labels, ends of "
        "sentences included)"
    )
    if (both := found.interpolated) is not None:
        say(
            f"{arpa}: perplexity {both.ngram_per_word:.2f} per word, "
            f"{both.ngram_per_known_word:.2f} without {both.unknown_words} words that it does not "
            "know"
        )
        say(
            f"interpolated: perplexity {both.per_word:.2f} per word, with weights: "
            f"{{ngram: {both.ngram_weight}, neural: {both.neural_weight}}}; words unknown to the "
            "n-gram model have the share of the neural one alone"
        )
    return found
