"""The verb `asrkit align`."""

from __future__ import annotations

from pathlib import Path

import click

from asrkit.cli.answers import Written
from asrkit.cli.options import (
    checkpoint_option,
    data_option,
    data_overrides_argument,
    run_option,
    set_option,
    threads_option,
)
from asrkit.terminal import say


@click.command()
@run_option
@data_option
@set_option
@click.option("--head", default="ctc", show_default=True, help="Name of a head that aligns.")
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
@threads_option
@data_overrides_argument
def align(
    run: Path,
    data: Path,
    set_name: str,
    head: str,
    checkpoint: str,
    speeds: tuple[float, ...],
    overrides: tuple[str, ...],
) -> Written:
    """Align transcripts with audio: the time of each label, and the symbol of every frame.

    RUN/align/SET.ctm has the time of every label, RUN/align/SET.safetensors the symbols of all
    frames.
    Another spec can train on them with data.alignments=RUN and criterion: alignment in its head.

    Example: asrkit align --run run/first --data data --set dev
    """
    from asrkit import experiment

    files = experiment.align(run, data, set_name, head, checkpoint, speeds, overrides)
    for path in files:
        say(path)
    return Written(list(files))
