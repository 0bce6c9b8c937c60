"""The sets that one command opens: each manifest is read once, and its utterances are held once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lhotse import CutSet
from lhotse.cut import Cut

from asrkit.data.manifest_lines import read_cuts
from asrkit.data.manifests import find_manifest


class OpenSets:
    """Opens sets of data folders; remembers the utterances of those that it has opened.

    A command makes one and hands it to whatever looks at the utterances.
    """

    def __init__(self) -> None:
        self._cuts: dict[Path, list[Cut]] = {}

    def open(self, data: Path, names: Sequence[str]) -> CutSet:
        """Returns the utterances of some sets of a data folder.

        Raises:
            UserError: If the folder or a set is missing; names the sets that are there.
        """
        return CutSet.from_cuts([cut for name in names for cut in self._read(data, name)])

    def release(self) -> None:
        """Forgets all utterances: from here on, those hold them who need them."""
        self._cuts.clear()

    def _read(self, data: Path, name: str) -> list[Cut]:
        path = find_manifest(data, name)
        place = path.resolve()
        if place not in self._cuts:
            self._cuts[place] = read_cuts(path)
        return self._cuts[place]
