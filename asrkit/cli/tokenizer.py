"""The verb `asrkit tokenizer`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from asrkit.cli.options import data_option


@click.command()
@click.argument("kind", type=click.Choice(["bpe", "unigram", "characters", "words"]))
@data_option
@click.option("--set", "set_name", default="train", show_default=True, help="Set of transcripts.")
@click.option("--size", type=int, help="Number of units.")
@click.option("--name", help="Name of the tokenizer file; the kind if not given.")
def tokenizer(kind: Any, data: Path, set_name: str, size: int | None, name: str | None) -> None:
    """Train a tokenizer of some KIND on the transcripts of a set.

    Example: asrkit tokenizer bpe --data data --size 500
    """
    from asrkit import experiment

    click.echo(experiment.tokenizer(kind, data, set_name, size, name or kind))
