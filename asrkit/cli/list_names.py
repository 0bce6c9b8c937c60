"""The verb `asrkit list`."""

from __future__ import annotations

import click

from asrkit.cli.answers import Text
from asrkit.terminal import say


@click.command(name="list")
@click.argument("kind", required=False)
def list_names(kind: str | None) -> Text:
    """List the kinds of parts, or all parts of one KIND with their keys.

    Example: asrkit list encoder
    """
    from asrkit.config.listing import list_kinds
    from asrkit.config.registry import import_all
    from asrkit.experiment.compare import ROOTS

    import_all()
    text = list_kinds(ROOTS, kind)
    say(text)
    return Text(text)
