"""The verb `asrkit transcribe`."""

from __future__ import annotations

from pathlib import Path

import click

from asrkit.cli.options import FILE, FOLDER, SEARCH, threads_option
from asrkit.terminal import say


@click.command()
@click.argument("run", type=FOLDER)
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="FILE...")
@click.option("--search", type=SEARCH, help="A search of the run's spec; the first if not given.")
@click.option("--checkpoint", help="average, best, last or a path; average or best if not given.")
@threads_option
def transcribe(
    run: Path, files: tuple[Path, ...], search: str | None, checkpoint: str | None
) -> None:
    """Print what is said in audio FILEs, by the model of a RUN folder; a line for each file.

    Other sampling rates are resampled, several channels are mixed. A file that can't be read is
    told, the others are transcribed, and the exit code is 2.

    Example: asrkit transcribe run/first talk.flac interview.wav
    """
    from asrkit import load
    from asrkit.errors import UserError

    recogniser = load(run, search, checkpoint)
    unread = []
    for file in files:
        try:
            say(f"{file}\t{recogniser.transcribe(file)}")
        except UserError as error:
            unread.append(str(error))
    if unread:
        raise UserError("\n".join(unread))
