"""What is asked of a set when its manifest is written, and the options of recipes for that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, cast

import click

from asrkit.data.audio import Channel


@dataclass(frozen=True)
class Demands:
    """What is asked of the utterances of a set.

    Args:
        text: "any" takes utterances without a transcript, too, which can be decoded; "known" wants
            a transcript that may be empty, to score with; "words" wants some to train on.
        whole: Whether no utterance may be missing: that of a test set, whose score would be that
            of another set.
        channel: Which channel is heard of files with several, where the source does not say: a
            number from 0 on, "first", or "mix" for the mean of all. None refuses such files.
        sample_rate: Of the models; audio of another rate will be resampled, and that is said.
    """

    text: Literal["any", "known", "words"] = "any"
    whole: bool = False
    channel: Channel | None = None
    sample_rate: int = 16000


@dataclass(frozen=True)
class Choices:
    """What the user of a recipe chose.

    Args:
        channel: Which channel is heard of files with several.
        allow_missing: Whether test sets may lack utterances.
    """

    channel: Channel | None = None
    allow_missing: bool = False

    def training(self, sample_rate: int = 16000) -> Demands:
        """Returns what is asked of a training set."""
        return Demands("words", False, self.channel, sample_rate)

    def test(self, sample_rate: int = 16000) -> Demands:
        """Returns what is asked of a set that is scored."""
        return Demands("known", not self.allow_missing, self.channel, sample_rate)


def read_channel(
    _context: click.Context, _option: click.Parameter, word: str | None
) -> Channel | None:
    """Returns the channel that a word on the command line means."""
    if word is None:
        return None
    if word in ("first", "mix"):
        return cast(Channel, word)
    if not word.isdecimal():
        raise click.BadParameter(f"{word!r} is no channel; expected first, mix or a number from 0")
    return int(word)


def set_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command `--channel` and `--allow-missing`, as its argument `choices`."""

    @click.option(
        "--channel",
        metavar="first|mix|N",
        callback=read_channel,
        help="Channel that is heard of files with several: first, mix (the mean), or a number from "
        "0 on. Else, such files are refused.",
    )
    @click.option(
        "--allow-missing",
        is_flag=True,
        help="Take test sets without the utterances that can't be used; scores say so.",
    )
    @wraps(command)
    def with_choices(
        *args: Any, channel: Channel | None, allow_missing: bool, **others: Any
    ) -> None:
        command(*args, choices=Choices(channel, allow_missing), **others)

    return with_choices
