"""The verb `asrkit list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from asrkit.terminal import say

if TYPE_CHECKING:
    from asrkit.config.listing import Listing


@click.command(name="list")
@click.argument("kind", required=False)
def list_names(kind: str | None) -> Listing:
    """List the kinds of parts, or all parts of one KIND with their keys.

    Example: asrkit list encoder
    """
    from asrkit.config.listing import listing, overview
    from asrkit.config.registry import import_all
    from asrkit.experiment.compare import ROOTS

    import_all()
    found = listing(ROOTS, kind)
    say(overview(found) if kind is None else "\n\n".join(part.text for part in found.parts))
    return found
