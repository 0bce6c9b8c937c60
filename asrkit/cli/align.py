"""The verb `asrkit align`."""

from __future__ import annotations

from pathlib import Path

import click

from asrkit.cli.answers import Written
from asrkit.cli.options import (
    FILE,
    checkpoint_option,
    data_option,
    data_overrides_argument,
    run_option,
    set_option,
    threads_option,
)
from asrkit.terminal import say

ABOVE_ZERO = click.FloatRange(min=0, min_open=True)


@click.command()
@run_option
@data_option
@set_option
@click.option("--head", help="Name of a head that aligns; by default ctc, states or the only one.")
@checkpoint_option
@click.option(
    "--speed",
    "speeds",
    type=float,
    multiple=True,
    default=[1.0],
    show_default=True,
    help="Speed of the audio; repeatable, once for each of data.speeds.",
)
@click.option(
    "--acoustic-scale",
    type=ABOVE_ZERO,
    default=1.0,
    show_default=True,
    help="Factor of scores of tied states; costs of transitions are added as they are.",
)
@click.option("--prior", type=FILE, help="Log-priors of tied states, by `asrkit prior`.")
@click.option("--prior-scale", type=float, default=0.3, show_default=True, help="Their factor.")
@click.option(
    "--beam",
    type=ABOVE_ZERO,
    default=100.0,
    show_default=True,
    help="Tied states that are worse than the best by more are given up.",
)
@click.option("--lexicon", type=FILE, help="Pronunciations, instead of those of the training.")
@click.option(
    "--unknown-as-noise",
    is_flag=True,
    help="Align words without pronunciation as noise; utterances with some are left out otherwise.",
)
@threads_option
@data_overrides_argument
def align(
    run: Path,
    data: Path,
    set_name: str,
    head: str | None,
    checkpoint: str,
    speeds: tuple[float, ...],
    acoustic_scale: float,
    prior: Path | None,
    prior_scale: float,
    beam: float,
    lexicon: Path | None,
    unknown_as_noise: bool,
    overrides: tuple[str, ...],
) -> Written:
    """Align transcripts with audio: the time of each label, and the symbol of every frame.

    RUN/align/SET.ctm has the time of every label, SET.words.ctm of every word, SET.safetensors the
    symbols of all frames. Of a head of tied states, or of phones, SET.ctm has the times of words,
    SET.phones.ctm those of phones.

    Another spec can train on them with data.alignments=RUN: criterion: alignment in its head, or a
    head of tied states.

    Example: asrkit align --run run/first --data data --set dev
    """
    from asrkit import experiment

    states = experiment.StateOptions(
        acoustic_scale, prior, prior_scale, beam, lexicon, unknown_as_noise
    )
    files = experiment.align(run, data, set_name, head, checkpoint, speeds, overrides, states)
    for path in files:
        say(path)
    return Written(list(files))
