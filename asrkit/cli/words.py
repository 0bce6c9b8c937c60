"""The verbs `asrkit words` and `asrkit calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit.cli.options import (
    data_option,
    data_overrides_argument,
    decoded_by_option,
    run_option,
    set_option,
    threads_option,
)
from asrkit.terminal import say, table

if TYPE_CHECKING:
    from asrkit.experiment.words import CalibrationReport, WordsReport


@click.command()
@run_option
@data_option
@set_option
@decoded_by_option
@click.option("--head", help="That aligns; by default `ctc`, `states`, or the only one.")
@click.option(
    "--sharpness",
    type=click.FloatRange(min=0.0, min_open=True),
    help="Factor of the scores where they become probabilities; by default, that of the "
    "calibration, else 1.",
)
@threads_option
@data_overrides_argument
def words(
    run: Path,
    data: Path,
    set_name: str,
    search: str,
    head: str | None,
    sharpness: float | None,
    overrides: tuple[str, ...],
) -> WordsReport:
    """Write recognised words with times and confidences.

    RUN/decode/SEARCH/SET/words.ctm has utterance, channel, begin, duration, word, confidence;
    words.jsonl next to it the same for programs. Confidences are posterior probabilities, which
    asrkit calibrate makes ones that can be believed.

    Example: asrkit words --run run/first --data data --set test --search joint
    """
    from asrkit import experiment

    report = experiment.words(run, data, set_name, search, head, sharpness, overrides)
    say(f"{report.ctm}: {report.words:,} words of {report.utterances:,} utterances")
    if report.spread:
        say(f"the words of {report.spread:,} of them can't be aligned: they are spread evenly")
    if report.uncalibrated:
        say(
            f"{report.uncalibrated:,} of them are not calibrated: the calibration learnt from "
            "lattices and they have n-best lists, or the other way round; decode the sets alike "
            "and calibrate again"
        )
    if report.nce is not None:
        by = (
            "not calibrated"
            if report.calibration is None
            else f"calibrated by {report.calibration}"
        )
        say(f"normalised cross entropy of the confidences: {report.nce:.3f}, {by}")
    return report


@click.command()
@run_option
@set_option
@decoded_by_option
def calibrate(run: Path, set_name: str, search: str) -> CalibrationReport:
    """Learn on a dev set how far the confidences of a search can be believed.

    asrkit words has written them before; afterwards, it writes calibrated ones, of this set and
    others.

    Example: asrkit calibrate --run run/first --set dev --search joint
    """
    from asrkit import experiment

    report = experiment.calibrate(run, set_name, search)
    rows = [(f"{b.confidence:.2f}", f"{b.right:.2f}", f"{b.words:,}") for b in report.bins]
    table(f"{search} on {set_name}", ["confidence", "right", "words"], rows)
    learnt = report.calibration
    if learnt.nce_before is not None and learnt.nce is not None:
        say(
            f"normalised cross entropy: {learnt.nce_before:.3f} before, {learnt.nce:.3f} calibrated"
        )
    say(f"written to {report.path} and {report.picture}")
    return report
