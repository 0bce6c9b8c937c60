"""The verb `asrkit lattices export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit.cli.options import FILE, decoded_by_option, run_option, set_option
from asrkit.terminal import say

if TYPE_CHECKING:
    from asrkit.experiment.lattice_export import ExportedLattices, Form


@click.group()
def lattices() -> None:
    """Take lattices of words to other toolkits.

    Example: asrkit lattices export dev.lat --to kaldi-text --run run/sat --set dev --search first
    """


@lattices.command()
@click.argument("out", type=FILE)
@click.option("--to", "form", type=click.Choice(["kaldi-text", "slf"]), required=True)
@run_option
@set_option
@decoded_by_option
def export(out: Path, form: Form, run: Path, set_name: str, search: str) -> ExportedLattices:
    """Write the lattices of a decoded set for another toolkit, their scores without weights.

    kaldi-text: an archive of CompactLattice, OUT, and OUT.words.txt with the numbers of words.
    Costs are those of the graph (language model and pronunciations) and of frames; its strings of
    transitions, which are not known, only tell times: a 1 for each frame.

    slf: files OUT/UTTERANCE.slf of HTK, with scores of frames (a), language model (l) and
    pronunciations (r).

    Example: asrkit lattices export dev.lat --to kaldi-text --run run/sat --set dev --search first
    """
    from asrkit.experiment.lattice_export import export_lattices

    found = export_lattices(run, search, set_name, form, out)
    say("\n".join(found.lines()))
    return found
