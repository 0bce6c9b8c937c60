"""What the verbs of `asrkit data` share: their options, and the sets that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from asrkit.cli.options import FILE, FOLDER, SET, data_option
from asrkit.data.demands import Demands, read_channel
from asrkit.terminal import say

if TYPE_CHECKING:
    from asrkit.data.feature_sources import FeatureSource
    from asrkit.data.set_facts import SetFacts
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


def of_sources(command: Callable[..., MadeSet]) -> Callable[..., MadeSet]:
    """Gives a verb SOURCEs, and the options that say which set they become."""
    for option in (
        click.option("--whole", is_flag=True, help="Fail if anything is left out."),
        click.option("--keep-untranscribed", is_flag=True, help="Keep those without a transcript."),
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


def of_audio(command: Callable[..., MadeSet]) -> Callable[..., MadeSet]:
    """Gives a verb SOURCEs of audio, and the options that say which set they become."""
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
    ):
        command = option(command)
    return of_sources(command)


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


def write_audio_set(
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
    from asrkit.data.manifests import write_set

    demands = Demands(_wanted(keep_empty, keep_untranscribed), whole, channel, sample_rate)
    found: Iterable[Source | Unusable] = chain.from_iterable(map(read, sources))
    return _made(data, name, lambda: write_set(data, name, found, jobs, demands))


def write_feature_files(
    read: Callable[[Path], Iterator[FeatureSource | Unusable]],
    sources: tuple[Path, ...],
    data: Path,
    name: str,
    keep_empty: bool,
    keep_untranscribed: bool,
    whole: bool,
    frame_shift: float,
) -> MadeSet:
    """Writes the set of features that are read from sources, and says what is in it."""
    from asrkit.data.feature_sources import write_features

    demands = Demands(_wanted(keep_empty, keep_untranscribed), whole)
    found: Iterable[FeatureSource | Unusable] = chain.from_iterable(map(read, sources))
    return _made(data, name, lambda: write_features(data, name, found, demands, frame_shift))


def _wanted(keep_empty: bool, keep_untranscribed: bool) -> Literal["any", "known", "words"]:
    return "any" if keep_untranscribed else "known" if keep_empty else "words"


def _made(data: Path, name: str, write: Callable[[], SetFacts]) -> MadeSet:
    """Writes a set, in place of one before, and says what is in it."""
    from asrkit.data.manifests import existing_manifest, manifest_path, rejected_path
    from asrkit.errors import UserError

    before = existing_manifest(data, name)
    if before and before != manifest_path(data, name):
        raise UserError(f"{before} is set {name} already: delete it, or give another --set")
    facts = write()
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
