"""Requirements of a set when its manifest is written, and the options of recipes for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, cast

import click

from asrkit.data.channels import Channel


@dataclass(frozen=True)
class Demands:
    """What the utterances of a set must have.

    Args:
        text: "any" also accepts utterances without a transcript, which can be decoded; "known"
            requires a transcript, which may be empty, for scoring; "words" requires words to train
            on.
        whole: Whether no utterance may be missing, as in test sets: the score would be for another
            set.
        channel: Which channel of files with several is used, if the source does not say: a
            number from 0 on, "first", or "mix" for the mean of all. None refuses such files.
        sample_rate: Of the models; audio with another rate will be resampled, with a note.
    """

    text: Literal["any", "known", "words"] = "any"
    whole: bool = False
    channel: Channel | None = None
    sample_rate: int = 16000


@dataclass(frozen=True)
class Choices:
    """What the user of a recipe chose.

    Args:
        channel: Which channel of files with several is used.
        allow_missing: Whether utterances of test sets may be missing.
    """

    channel: Channel | None = None
    allow_missing: bool = False

    def training(self, sample_rate: int = 16000) -> Demands:
        """Returns the requirements of a training set."""
        return Demands("words", False, self.channel, sample_rate)

    def test(self, sample_rate: int = 16000) -> Demands:
        """Returns the requirements of a set to be scored."""
        return Demands("known", not self.allow_missing, self.channel, sample_rate)


def read_channel(
    _context: click.Context, _option: click.Parameter, word: str | None
) -> Channel | None:
    """Returns the channel for a word of the command line."""
    if word is None:
        return None
    if word in ("first", "mix"):
        return cast(Channel, word)
    if not word.isdecimal():
        raise click.BadParameter(
            f"unknown channel {word!r}; expected first, mix or a number from 0"
        )
    return int(word)


def set_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command `--channel` and `--allow-missing`, as its argument `choices`."""

    @click.option(
        "--channel",
        metavar="first|mix|N",
        callback=read_channel,
        help="Channel to use of files with several: first, mix (the mean), or a number from 0 on. "
        "Without it, such files are refused.",
    )
    @click.option(
        "--allow-missing",
        is_flag=True,
        help="Accept test sets with unusable utterances; they are left out, and scores say so.",
    )
    @wraps(command)
    def with_choices(
        *args: Any, channel: Channel | None, allow_missing: bool, **others: Any
    ) -> None:
        command(*args, choices=Choices(channel, allow_missing), **others)

    return with_choices
