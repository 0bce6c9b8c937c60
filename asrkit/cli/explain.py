"""The verb `asrkit explain`."""

from __future__ import annotations

from pathlib import Path

import click

from asrkit.cli.answers import Text
from asrkit.cli.options import FILE, overrides_argument
from asrkit.terminal import say


@click.command()
@click.argument("spec", type=FILE)
@click.argument("key")
@overrides_argument
def explain(spec: Path, key: str, overrides: tuple[str, ...]) -> Text:
    """Explain one KEY of a SPEC file: its value, where that came from, what it does.

    Example: asrkit explain conf/conformer.yaml training.schedule.peak
    """
    from asrkit import experiment

    text = experiment.explain(spec, overrides, key)
    say(text)
    return Text(text)
