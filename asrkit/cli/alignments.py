"""The verbs `asrkit alignments compare`, `import` and `export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit.cli.options import FILE
from asrkit.terminal import say

if TYPE_CHECKING:
    from asrkit.scoring.word_times import WordTimes


@click.group()
def alignments() -> None:
    """Compare alignments, or exchange them with other toolkits.

    Example: asrkit alignments compare run/gmm/sat/align/dev.ctm run/first/align/dev.ctm
    """


@alignments.command()
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@click.option(
    "--within",
    type=click.FloatRange(min=0.0),
    default=0.05,
    show_default=True,
    help="Seconds that boundaries may differ by.",
)
def compare(first: Path, second: Path, within: float) -> WordTimes:
    """Compare when words begin and end in two CTM files.

    Example: asrkit alignments compare run/gmm/sat/align/dev.ctm run/first/align/dev.ctm
    """
    from asrkit.scoring.word_times import compare_word_times

    found = compare_word_times(first, second, within)
    say("\n".join(found.lines()))
    return found
