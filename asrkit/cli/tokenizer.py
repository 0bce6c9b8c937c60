"""The verb `asrkit tokenizer`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from asrkit.cli.answers import Written
from asrkit.cli.options import FILE, SET, data_option, name_of
from asrkit.terminal import say


@click.command()
@click.argument("kind", type=click.Choice(["bpe", "unigram", "characters", "words"]))
@data_option
@click.option(
    "--set", "set_name", type=SET, default="train", show_default=True, help="Set of transcripts."
)
@click.option("--text", "texts", type=FILE, multiple=True, help="Sentences by line (.gz, .xz).")
@click.option(
    "--lines", type=click.IntRange(1), help="Most lines of --text that are used, evenly spread."
)
@click.option("--size", type=int, help="Number of units.")
@click.option(
    "--name", type=name_of("a tokenizer"), help="Name of its file; the kind if not given."
)
@click.option(
    "--force", is_flag=True, help="Replace a tokenizer with the same name and other units."
)
def tokenizer(
    kind: Any,
    data: Path,
    set_name: str,
    texts: tuple[Path, ...],
    lines: int | None,
    size: int | None,
    name: str | None,
    force: bool,
) -> Written:
    """Train a tokenizer of some KIND on the transcripts of a set, and on further text.

    Example: asrkit tokenizer bpe --data data --size 500
    """
    from asrkit import experiment

    path = experiment.tokenizer(kind, data, set_name, size, name or kind, force, texts, lines)
    say(path)
    return Written([path])
