"""The verbs `asrkit data kaldi`, `tsv` and `folder`: manifests of a user's own audio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from asrkit.cli.made_sets import MadeSet, of_audio, with_root, write_audio_set


@click.group()
def data() -> None:
    """Make the manifest of a set from your own audio, or features, and transcripts.

    What can't be used is left out, counted, and listed with the reasons in DATA/rejected/SET.tsv.

    Example: asrkit data folder recordings --data data
    """


@data.command()
@of_audio
@with_root
def kaldi(root: Path | None, **options: Any) -> MadeSet:
    """Make a set from Kaldi data folders: wav.scp, text; optional: segments, utt2spk.

    Commands in wav.scp are not run: such utterances are left out.

    Example: asrkit data kaldi kaldi/train --data data
    """
    from asrkit.corpora.kaldi import read_kaldi

    return write_audio_set(lambda folder: read_kaldi(folder, root), **options)


@data.command()
@of_audio
@with_root
@click.option("--audio", help="Column with paths of audio files.")
@click.option("--text", help="Column with transcripts.")
@click.option("--id", help="Column with names of utterances; derived from file names if missing.")
@click.option("--speaker", help="Column with speakers.")
@click.option("--start", help="Column with start times in the file, in seconds.")
@click.option("--end", help="Column with end times, in seconds.")
@click.option("--duration", help="Column with durations in seconds, if there are no end times.")
def tsv(
    root: Path | None,
    audio: str | None,
    text: str | None,
    id: str | None,
    speaker: str | None,
    start: str | None,
    end: str | None,
    duration: str | None,
    **options: Any,
) -> MadeSet:
    """Make a set from tables (TSV, CSV) whose first line names the columns.

    Columns with usual names, such as path and sentence, are found without options.

    Example: asrkit data tsv train.tsv --data data --text sentence
    """
    from asrkit.corpora.tables import Columns, read_table

    columns = Columns(audio, text, id, speaker, start, end, duration)
    needs_text = not options["keep_untranscribed"]
    return write_audio_set(lambda table: read_table(table, columns, root, needs_text), **options)


@data.command()
@of_audio
@click.option("--speakers", is_flag=True, help="Folders are named after speakers.")
def folder(speakers: bool, **options: Any) -> MadeSet:
    """Make a set from folders of audio files with a .txt file of the same name next to each.

    Example: asrkit data folder recordings --data data
    """
    from asrkit.corpora.folders import read_folder

    return write_audio_set(lambda place: read_folder(place, speakers), **options)
