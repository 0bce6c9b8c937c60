"""The verb `asrkit lexicon`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from asrkit.cli.options import FILE, FOLDER, SET, data_option, name_of
from asrkit.terminal import say

if TYPE_CHECKING:
    from asrkit.experiment.lexicon import LexiconReport


@click.command()
@data_option
@click.option(
    "--set", "sets", type=SET, multiple=True, help="Set whose words are pronounced; repeatable."
)
@click.option("--text", "texts", type=FILE, multiple=True, help="Sentences by line (.gz, .xz).")
@click.option(
    "--from",
    "source",
    required=True,
    help="cmudict (American English), graphemes (letters are phones), or the file of a lexicon.",
)
@click.option(
    "--name",
    type=name_of("a lexicon"),
    required=True,
    help="Name of the lexicon: DATA/lexicon/NAME.txt.",
)
@click.option("--size", type=click.IntRange(1), help="Take so many of the most frequent words.")
@click.option(
    "--format",
    type=click.Choice(["auto", "plain", "probabilities", "cmu"]),
    default="auto",
    show_default=True,
    help="Of the file: Kaldi's lexicon.txt is plain, its lexiconp.txt has probabilities.",
)
@click.option("--stress", is_flag=True, help="Keep the stress of CMU's vowels: AH0, AH1, AH2.")
@click.option("--g2p", is_flag=True, help="Pronounce words that are lacking by their spelling.")
@click.option(
    "--variants",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Pronunciations of such a word at most.",
)
@click.option(
    "--alignments",
    type=FOLDER,
    help="Run that has aligned the sets by tied states: pronunciations are as probable as they "
    "were frequent there.",
)
def lexicon(**options: Any) -> LexiconReport:
    """Write the pronunciations of all words of transcripts and texts.

    Words without pronunciation are counted, and listed in DATA/lexicon/NAME.missing.txt.

    Example: asrkit lexicon --data data --set train --from cmudict --g2p --name english
    """
    from asrkit import experiment

    report = experiment.lexicon(**options)
    say("\n".join(report.lines()))
    return report
