"""The verb `asrkit score`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit.cli.options import FILE, FOLDER, decoded_by_option, run_option, set_option
from asrkit.terminal import say

if TYPE_CHECKING:
    from asrkit.scoring.wer import Score


@click.command()
@run_option
@set_option
@decoded_by_option
@click.option("--against", type=FOLDER, help="Another run to compare with on the same set.")
@click.option(
    "--units",
    type=click.Choice(["utterances", "speakers"]),
    default="utterances",
    show_default=True,
    help="With --against: the units of the significance test.",
)
@click.option("--stm", type=FILE, help="STM file with references: count errors as sclite does.")
@click.option("--glm", type=FILE, help="NIST's mapping rules: with --stm, score as Hub5 does.")
@click.option(
    "--drop-hesitations",
    is_flag=True,
    help="With --glm: leave hesitations and partial words out of hypotheses, as Kaldi does.",
)
def score(
    run: Path,
    set_name: str,
    search: str,
    against: Path | None,
    units: str,
    stm: Path | None,
    glm: Path | None,
    drop_hesitations: bool,
) -> Score:
    """Score a decoded set: WER with its 95 % interval, errors by utterance and speaker.

    With --stm, NIST's sclite counts the word errors if it is installed; otherwise asrkit counts
    them by the same rules. With --stm and --glm, the set is scored as in the Hub5 and RT
    evaluations of telephone speech, by hubscr.pl if that is installed.

    Example: asrkit score --run run/first --set dev --search joint
    """
    from asrkit import experiment

    result = experiment.score(run, set_name, search, against, stm, glm, drop_hesitations, units)
    e = result.errors
    say(
        f"{set_name} {search}: WER {result.wer:.2f} % [{result.low:.2f}, {result.high:.2f}], "
        f"{e.total} errors in {e.words} words ({e.substitutions} sub, {e.deletions} del, "
        f"{e.insertions} ins), CER {result.cer:.2f} %"
    )
    for line in _remarks(result):
        say(f"  {line}")
    for name, part in result.parts.items():
        say(f"  {name:<6} {part.wer:6.2f} % of {part.errors.words} words")
    if result.against is not None:
        found = result.against
        say(
            f"against {against}: {found.difference:+.2f} absolute, P(noise) "
            f"{found.probability_of_noise:.3f} (exact sign-flip test of {found.count} "
            f"{found.units}), better on {100 * found.probability_better:.1f} % of resampled sets"
        )
    return result


def _remarks(result: Score) -> list[str]:
    """Returns the notes on a rate: what it covers, and its uncertainty."""
    lines = []
    if result.coverage is not None and result.coverage.remarks():
        lines.append(f"of {result.coverage} utterances: not a rate of the whole set as it is")
    if result.missing:
        lines.append(f"{result.missing} segments were not decoded: their words count as deleted")
    if result.empty_references:
        lines.append(
            f"{result.empty_references} utterances have an empty reference: all words that were "
            "found there count as inserted"
        )
    if result.by_speakers is not None:
        by = result.by_speakers
        lines.append(f"[{by.low:.2f}, {by.high:.2f}] from resampling {by.units} speakers")
    return lines
