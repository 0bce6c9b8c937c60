"""The verb `asrkit graph`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from asrkit.cli.options import data_option, name_of, run_option
from asrkit.terminal import say

if TYPE_CHECKING:
    from asrkit.experiment.graph import GraphReport


@click.command()
@run_option
@data_option
@click.option(
    "--arpa",
    type=name_of("an n-gram model"),
    required=True,
    help="Name of the n-gram model of words: DATA/lm/NAME.arpa.gz.",
)
@click.option(
    "--name",
    type=name_of("a graph"),
    required=True,
    help="Name of the graph: DATA/lm/NAME.graph.safetensors.",
)
@click.option(
    "--entropy",
    type=click.FloatRange(min=0.0),
    default=0.0,
    show_default=True,
    help="Leave n-grams out whose absence raises perplexity by less than this share.",
)
@click.option(
    "--lexicon",
    type=name_of("a lexicon"),
    help="For tied states and phones, how words are pronounced: DATA/lexicon/NAME.txt; if not "
    "given, the lexicon that they were trained with.",
)
@click.option(
    "--transitions",
    type=click.Choice(["learnt", "topology"]),
    default="learnt",
    show_default=True,
    help="For tied states, whose costs of staying and going on.",
)
def graph(
    run: Path,
    data: Path,
    arpa: str,
    name: str,
    entropy: float,
    lexicon: str | None,
    transitions: Literal["learnt", "topology"],
) -> GraphReport:
    """Make a graph of words for a CTC head or for tied states, for a search of type graph.

    The words are those of an n-gram model; the run's tokenizer spells them. Of tied states, or of
    phones by CTC, the graph is RUN/graph/NAME.safetensors.

    Example: asrkit graph --run run/first --data data --arpa 4gram --name 4gram
    """
    from asrkit import experiment

    report = experiment.graph(run, data, arpa, name, entropy, lexicon, transitions)
    say("\n".join(report.lines()))
    return report
