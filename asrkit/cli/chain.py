"""The verb `asrkit chain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit.cli.options import FILE, FOLDER, data_option, run_option
from asrkit.errors import UserError
from asrkit.terminal import say

if TYPE_CHECKING:
    from asrkit.experiment.chain import ChainReport


@click.command()
@run_option
@data_option
@click.option(
    "--alignments",
    "source",
    type=FOLDER,
    help="Run whose `asrkit align` has aligned the words of all sets, such as a stage of mixtures.",
)
@click.option(
    "--lexicon", type=FILE, help="How words are pronounced, where nothing is aligned: a file."
)
@click.option("--set", "sets", multiple=True, required=True, help="Set that is trained on.")
@click.option("--dev", "dev", multiple=True, help="Another set whose alignments are needed.")
@click.option(
    "--states", type=click.IntRange(min=2), help="Most tied states; 2000 by default.",
)  # fmt: skip
@click.option(
    "--step", type=click.IntRange(min=1),
    help="Frames of features in a frame that the network scores; 3 by default.",
)  # fmt: skip
@click.option(
    "--order", type=click.IntRange(min=3), default=4, show_default=True,
    help="Phones of the longest n-grams.",
)  # fmt: skip
@click.option(
    "--extra", type=click.IntRange(min=0), default=2000, show_default=True,
    help="Histories of the longest n-grams, besides all of two phones.",
)  # fmt: skip
def chain(
    run: Path,
    data: Path,
    source: Path | None,
    lexicon: Path | None,
    sets: tuple[str, ...],
    dev: tuple[str, ...],
    states: int | None,
    step: int | None,
    order: int,
    extra: int,
) -> ChainReport:
    """Make the tied states and the phone n-gram that a head of type lf_mmi is trained on.

    RUN is then what a spec's data.alignments names. Its states ask for the phone before only, and
    hold phones of a single frame of 30 ms.

    With --lexicon nothing needs to be aligned: all pairs of phones have states, and the head, with
    tolerance null, learns from transcripts ("flat start").

    Example: asrkit chain --run run/c --data data --alignments run/sat --set train --dev dev
    """
    from asrkit import experiment

    if (source is None) == (lexicon is None):
        raise UserError("expected either --alignments or --lexicon, which needs no alignments")
    if source is not None:
        settings = experiment.ChainSettings(states or 2000, step or 3, order, extra)
        report = experiment.chain(run, source, data, sets, dev, settings)
    else:
        assert lexicon is not None
        unused = {"--dev": bool(dev), "--states": states is not None, "--step": step is not None}
        if any(unused.values()):
            given = ", ".join(name for name, used in unused.items() if used)
            raise UserError(f"{given} are of alignments: leave them out with --lexicon")
        report = experiment.flat_chain(run, lexicon, data, sets, order, extra)
    say("\n".join(report.lines()))
    return report
