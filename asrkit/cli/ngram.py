"""The verb `asrkit ngram`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from asrkit.cli.options import FILE, SET, data_option, name_of
from asrkit.terminal import say, table

if TYPE_CHECKING:
    from asrkit.experiment.ngram import NgramReport


@click.command()
@data_option
@click.option(
    "--set", "sets", type=SET, multiple=True, help="Set whose transcripts are used; repeatable."
)
@click.option("--text", "texts", type=FILE, multiple=True, help="Sentences by line (.gz, .xz).")
@click.option("--order", type=click.IntRange(1), required=True, help="Longest n-grams.")
@click.option(
    "--units", type=click.Choice(["bpe", "unigram", "characters", "words"]), required=True
)
@click.option(
    "--tokenizer",
    type=name_of("a tokenizer"),
    help="Name of the tokenizer file; the units if not given.",
)
@click.option(
    "--name",
    type=name_of("an n-gram model"),
    required=True,
    help="Name of the model: DATA/lm/NAME.arpa.gz.",
)
@click.option("--prune", type=int, multiple=True, help="Count up to which n-grams are left out.")
@click.option("--dev", type=SET, help="Set to measure the perplexity on.")
def ngram(**options: Any) -> NgramReport:
    """Estimate an n-gram model (Kneser-Ney) on transcripts and texts, as an ARPA file.

    Give --prune once for each order, unigrams first; the last one applies to higher orders.

    Example: asrkit ngram --data data --set train --order 4 --units words --name 4gram --dev dev
    """
    from asrkit import experiment

    report = experiment.ngram(**options)
    rows = [
        (str(each.order), str(each.ngrams), *(f"{value:.4f}" for value in each.discounts))
        for each in report.orders
    ]
    table(str(report.path), ["order", "n-grams", "D1", "D2", "D3+"], rows)
    say("\n".join(report.lines()))
    return report
