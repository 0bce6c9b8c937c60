"""`asrkit lattices export`: the lattices of a decoded set for other toolkits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from asrkit.config.build import build
from asrkit.decoding.notes import read_note
from asrkit.errors import UserError
from asrkit.experiment.lattice_lists import has_lattices
from asrkit.files import write_lines
from asrkit.run_files import read_nbest
from asrkit.run_folder import DecodedSet, RunFolder
from asrkit.search.lattices import part_weights
from asrkit.search.search import Search
from asrkit.wfst.determinised import PARTS
from asrkit.wfst.lattice_file import NamedLattice, read_lattices, write_lattices
from asrkit.wfst.lattice_forms import kaldi_text, slf

Form = Literal["kaldi-text", "slf"]


@dataclass(frozen=True)
class ExportedLattices:
    """Lattices that were written for another toolkit.

    Args:
        path: The archive, or the folder of a file for each utterance.
        utterances: How many there are.
        left_out: Utterances in which no path was found.
        weights: Of the search that found them, by part: what each score is multiplied by.
        words: The archive's table of words, if it has one.
    """

    path: Path
    utterances: int
    left_out: list[str]
    weights: dict[str, float]
    words: Path | None = None

    def lines(self) -> list[str]:
        """Returns the report as text."""
        factors = ", ".join(f"{part} {weight:g}" for part, weight in self.weights.items())
        found = [f"{self.path}: lattices of {self.utterances} utterances, without their weights"]
        found.append(f"weights of the search: {factors}")
        if self.left_out:
            some = f"{len(self.left_out)} utterances without a path, such as {self.left_out[0]}"
            found.append(f"left out: {some}")
        return found if self.words is None else [*found, f"{self.words}: numbers of the words"]


def export_lattices(
    run: Path, search: str, set_name: str, form: Form, out: Path
) -> ExportedLattices:
    """Writes the lattices of a decoded set for another toolkit.

    Args:
        run: Folder of a run.
        search: That decoded the set.
        set_name: The set.
        form: An archive of Kaldi's CompactLattice as text, next to which OUT.words.txt has the
            numbers of words; or files of HTK's SLF in the folder OUT.
        out: The file or folder.

    Raises:
        UserError: If there are no lattices, or they are not those of the n-best lists.
    """
    place = RunFolder(run).decoded_set(search, set_name)
    if not has_lattices(place.folder):
        raise UserError(
            f"{place.lattices} is missing or older than the lists next to it: decode the set with "
            "a graph search that has `lattices: true`"
        )
    all_of = dict(read_lattices(place.lattices))
    found = {name: one for name, one in sorted(all_of.items()) if one is not None}
    lacking = sorted(all_of.keys() - found.keys())
    if not found:
        raise UserError(f"{place.lattices} has no lattice: no path was found in any utterance")
    weights = _weights(place, next(iter(found.values())))
    words = None
    if form == "kaldi-text":
        words = _write_archive(out, found)
    else:
        seconds = {line.id: line.seconds for line in read_nbest(place.nbest)}
        for name, one in found.items():
            write_lines(out / _file_name(name), slf(name, one, weights, seconds[name]))
    return ExportedLattices(out, len(found), lacking, weights, words)


def _write_archive(out: Path, found: Mapping[str, NamedLattice]) -> Path:
    names = sorted({word for one in found.values() for word in one.words})
    labels = {word: number for number, word in enumerate(names, start=1)}
    table = out.with_name(f"{out.name}.words.txt")
    write_lines(table, ["<eps> 0", *(f"{word} {number}" for word, number in labels.items())])
    lines = chain.from_iterable(kaldi_text(*item, labels) for item in found.items())
    (write_lattices if out.suffix == ".gz" else write_lines)(out, lines)
    return table


def _file_name(utterance: str) -> str:
    """Returns the name of an utterance's file; other folders are not reached."""
    return utterance.replace("%", "%25").replace("/", "%2F") + ".slf"


def _weights(place: DecodedSet, lattice: NamedLattice) -> dict[str, float]:
    """Returns the weights of the search that gave a set's lattices, by part."""
    search = build(Search, read_note(place.search).search)
    return dict(zip(PARTS, part_weights(lattice, search.lattice_weights), strict=True))
