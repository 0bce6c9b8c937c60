"""The verb `asrkit import`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from asrkit.cli.options import FILE, FOLDER
from asrkit.terminal import say


@click.command("import")
@click.argument("toolkit", type=click.Choice(["espnet", "returnn"]))
@click.argument("checkpoint", type=FILE)
@click.option("--out", type=FOLDER, required=True, help="Run folder that is made.")
@click.option(
    "--config", type=FILE, help="Configuration; config.yaml next to CHECKPOINT if not given."
)
@click.option("--bpe", type=FILE, help="SentencePiece model, if it is not where CONFIG says.")
@click.option(
    "--may-miss", multiple=True, help="Pattern: tensors of these names here may start afresh."
)
@click.option(
    "--may-leave", multiple=True, help="Pattern: tensors of these names there may be left."
)
@click.option(
    "--decoder-of", type=FOLDER, help="Run of the recogniser whose internal language model it is."
)
def import_model(
    toolkit: Any,
    checkpoint: Path,
    out: Path,
    config: Path | None,
    bpe: Path | None,
    may_miss: tuple[str, ...],
    may_leave: tuple[str, ...],
    decoder_of: Path | None,
) -> Any:
    """Make a run folder of a CHECKPOINT of another TOOLKIT.

    Example: asrkit import espnet exp/asr/valid.acc.ave.pth --out run/espnet
    """
    from asrkit import experiment

    found = experiment.import_model(
        toolkit, checkpoint, out, config, bpe, may_miss, may_leave, decoder_of
    )
    say(f"{found.run}: {found.tensors} tensors with {found.numbers:,} numbers")
    for name in found.missing:
        say(f"starts afresh: {name}")
    for name in found.unused:
        say(f"left: {name}")
    for note in found.notes:
        say(f"note: {note}")
    return found
