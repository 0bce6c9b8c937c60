"""The lattices of a decode, kept batch by batch and written as one file."""

from __future__ import annotations

import json
from collections.abc import Sequence

from asrkit.decoding.partial_results import PartialResults
from asrkit.run_folder import DecodedSet
from asrkit.wfst.lattice_file import NamedLattice, write_lattices


class LatticeResults:
    """Lattices of a set that is not complete yet.

    Args:
        place: Where the set's results are.
        fingerprint: Of everything they depend on.
    """

    def __init__(self, place: DecodedSet, fingerprint: str) -> None:
        self.place, self.fingerprint = place, fingerprint
        self.results = PartialResults(place.partial_lattices, fingerprint)

    def add(self, names: Sequence[str], lattices: Sequence[NamedLattice | None]) -> None:
        """Adds those of a batch.

        Raises:
            UserError: If the file cannot be written.
        """
        pairs = zip(names, lattices, strict=True)
        lines = [{"id": name, "lattice": one and one.as_json()} for name, one in pairs]
        self.results.add(lines, {})

    def finish(self, names: Sequence[str]) -> None:
        """Writes the file of all utterances, in order."""
        header = json.dumps({"fingerprint": self.fingerprint})
        write_lattices(self.place.lattices, [header, *(self.results.lines[n] for n in names)])
        self.place.partial_lattices.unlink(missing_ok=True)
