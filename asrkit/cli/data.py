"""The verbs `asrkit data kaldi`, `tsv` and `folder`: manifests of a user's own audio."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asrkit.cli.options import FILE, FOLDER, SET, data_option
from asrkit.data.demands import Demands, read_channel
from asrkit.terminal import say

if TYPE_CHECKING:
    from asrkit.data.sources import Source, Unusable

Read = Callable[[Path], "Iterator[Source | Unusable]"]


@dataclass(frozen=True)
class MadeSet:
    """A set that was made: its manifest, how much is in it, and what was left out.

    Args:
        name: Of the set.
        manifest: Where its utterances are.
        utterances: How many there are.
        seconds: Of audio.
        speakers: How many are known.
        left_out: How many utterances can't be used, by the reason.
        rejected: Where these are listed.
    """

    name: str
    manifest: Path
    utterances: int
    seconds: float
    speakers: int
    left_out: dict[str, int]
    rejected: Path


@click.group()
def data() -> None:
    """Make the manifest of a set from your own audio and transcripts.

    Unusable audio is left out, counted, and listed with the reasons in DATA/rejected/SET.tsv.

    Example: asrkit data folder recordings --data data
    """


def of_sources(command: Callable[..., MadeSet]) -> Callable[..., MadeSet]:
    """Gives a verb SOURCEs, and the options that say which set they become."""
    for option in (
        click.option(
            "--jobs", default=2, show_default=True, help="Number of processes that check audio."
        ),
        click.option(
            "--sample-rate", default=16000, show_default=True, help="Sample rate of the models."
        ),
        click.option(
            "--channel",
            metavar="first|mix|N",
            callback=read_channel,
            help="Channel to use of files with several: first, mix (the mean), or a number "
            "from 0 on. Without it, such files are left out.",
        ),
        click.option("--whole", is_flag=True, help="Fail if anything is left out."),
        click.option("--keep-untranscribed", is_flag=True, help="Keep audio without a transcript."),
        click.option(
            "--keep-empty",
            is_flag=True,
            help="Keep utterances with an empty transcript, for scoring.",
        ),
        click.option(
            "--set", "name", type=SET, default="train", show_default=True, help="Name of the set."
        ),
        data_option,
        click.argument("sources", type=FILE, nargs=-1, required=True, metavar="SOURCE..."),
    ):
        command = option(command)
    return command


def with_root(command: Callable[..., MadeSet]) -> Callable[..., MadeSet]:
    """Gives a verb `--root`."""

    @click.option(
        "--root",
        type=FOLDER,
        help="Folder that relative paths of audio start from; by default, that of the file "
        "with the paths.",
    )
    @wraps(command)
    def rooted(*args: Any, **others: Any) -> MadeSet:
        return command(*args, **others)

    return rooted


@data.command()
@of_sources
@with_root
def kaldi(root: Path | None, **options: Any) -> MadeSet:
    """Make a set from Kaldi data folders: wav.scp, text; optional: segments, utt2spk.

    Commands in wav.scp are not run: such utterances are left out.

    Example: asrkit data kaldi kaldi/train --data data
    """
    from asrkit.corpora.kaldi import read_kaldi

    return _write(lambda folder: read_kaldi(folder, root), **options)


@data.command()
@of_sources
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
    return _write(lambda table: read_table(table, columns, root, needs_text), **options)


@data.command()
@of_sources
@click.option("--speakers", is_flag=True, help="Folders are named after speakers.")
def folder(speakers: bool, **options: Any) -> MadeSet:
    """Make a set from folders of audio files with a .txt file of the same name next to each.

    Example: asrkit data folder recordings --data data
    """
    from asrkit.corpora.folders import read_folder

    return _write(lambda place: read_folder(place, speakers), **options)


def _write(
    read: Read,
    sources: tuple[Path, ...],
    data: Path,
    name: str,
    keep_empty: bool,
    keep_untranscribed: bool,
    whole: bool,
    channel: Any,
    sample_rate: int,
    jobs: int,
) -> MadeSet:
    """Writes the manifest of what is read from sources, and says what is in it."""
    from asrkit.data.manifests import existing_manifest, manifest_path, rejected_path, write_set
    from asrkit.errors import UserError

    text: Any = "any" if keep_untranscribed else "known" if keep_empty else "words"
    demands = Demands(text, whole, channel, sample_rate)
    found: Iterable[Source | Unusable] = chain.from_iterable(map(read, sources))
    before = existing_manifest(data, name)
    if before and before != manifest_path(data, name):
        raise UserError(f"{before} is set {name} already: delete it, or give another --set")
    facts = write_set(data, name, found, jobs, demands)
    replaced = ", in place of the one before" if before else ""
    speakers = f"of {len(facts.speakers)} speakers" if facts.speakers else "of unknown speakers"
    say(
        f"{name}: {facts.count} utterances, {facts.seconds / 3600:.2f} hours, {speakers}; "
        f"{len(facts.unusable)} left out ({manifest_path(data, name)}{replaced})"
    )
    return MadeSet(
        name,
        manifest_path(data, name),
        facts.count,
        facts.seconds,
        len(facts.speakers),
        {reason: found.count for reason, found in facts.left_out().items()},
        rejected_path(data, name),
    )
