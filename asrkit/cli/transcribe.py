"""The verb `asrkit transcribe`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from asrkit.cli.answers import IncompleteError
from asrkit.cli.options import FILE, FOLDER, SEARCH, threads_option
from asrkit.data.demands import read_channel
from asrkit.terminal import say


@dataclass(frozen=True)
class Transcript:
    """What is said in a file."""

    file: Path
    text: str


@dataclass(frozen=True)
class Transcripts:
    """What is said in files; those that can't be read are not among them."""

    files: list[Transcript]


@click.command()
@click.argument("run", type=FOLDER)
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="FILE...")
@click.option("--search", type=SEARCH, help="A search of the run's spec; the first if not given.")
@click.option("--checkpoint", help="average, best, last or a path; average or best if not given.")
@click.option("--device", help="Device, such as cpu or cuda:1; by default the GPU if there is one.")
@click.option(
    "--channel",
    metavar="first|mix|N",
    callback=read_channel,
    help="Channel to use of files with several; by default mix, the mean of all.",
)
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="Longest file to accept; by default data.decoding.max_seconds of the run.",
)
@threads_option
def transcribe(
    run: Path,
    files: tuple[Path, ...],
    search: str | None,
    checkpoint: str | None,
    device: str | None,
    channel: Any,
    max_seconds: float | None,
) -> Transcripts:
    """Transcribe audio FILEs with the model of a RUN folder; prints a line per file.

    Audio is resampled to the model's rate; a FILE named - is standard input. If a file can't be
    read, a message says so, the others are transcribed, and the exit code is 2.

    Example: asrkit transcribe run/first talk.flac interview.wav
    """
    from asrkit import load
    from asrkit.errors import UserError

    recogniser = load(run, search, checkpoint, device)
    unread, found = [], []
    for file in files:
        with _opened(file) as path:
            try:
                text = recogniser.transcribe(path, channel=channel, max_seconds=max_seconds)
                say(f"{file}\t{text}")
                found.append(Transcript(file, text))
            except UserError as error:
                unread.append(str(error).replace(str(path), str(file)))
    if unread:
        raise IncompleteError("\n".join(unread), Transcripts(found))
    return Transcripts(found)


@contextmanager
def _opened(file: Path) -> Iterator[Path]:
    """Gives a file, which for standard input is a copy: audio is not read from end to end."""
    if str(file) != "-":
        yield file
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder, "audio")
        copy.write_bytes(sys.stdin.buffer.read())
        yield copy
