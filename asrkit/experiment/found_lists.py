"""What a search has found in sets that were decoded before, looked up by utterance."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from asrkit.data.open_sets import OpenSets
from asrkit.decoding.notes import read_note
from asrkit.errors import UserError
from asrkit.experiment.decoded_sets import require_whole
from asrkit.experiment.lattice_lists import Relisting, from_lattices, has_lattices
from asrkit.experiment.tuned_values import values_of
from asrkit.run_files import NbestLine, read_nbest
from asrkit.run_folder import DecodedSet, RunFolder
from asrkit.scorers.interfaces import Hypothesis
from asrkit.text.tokenizers import Tokenizer

log = logging.getLogger(__name__)


@dataclass
class FoundLists:
    """The lists of a search by utterance, of all sets that it has decoded.

    Texts are spelled by the tokenizer of whoever asks, so that lists of models with other labels
    can be joined. Those that it can't spell are left out, which is said once.

    Args:
        run: Run folder that was decoded.
        search: Name of the search.
        tokenizer: Spells the texts.
        most: Hypotheses of an utterance.

    Raises:
        UserError: If the search has decoded nothing.
    """

    run: Path
    search: str
    tokenizer: Tokenizer
    most: int
    _relistings: dict[Path, Relisting] = field(default_factory=dict)
    _told: bool = False

    def __post_init__(self) -> None:
        self.sets = RunFolder(self.run).decoded_sets(self.search)
        if not self.sets:
            raise UserError(
                f"{self.run} has no lists of a search {self.search!r} to choose from; first "
                f"`asrkit decode --run {self.run} --search {self.search} --data DIR --set SET`"
            )

    @property
    def files(self) -> list[Path]:
        """All that is read."""
        return [
            path for place in self.sets for path in (place.nbest, place.lattices) if path.is_file()
        ]

    def __call__(self, utterance: str) -> list[Hypothesis]:
        """Returns what was found in an utterance, best first.

        Raises:
            UserError: If it was not decoded, or in two sets with different results.
        """
        if utterance not in self._lines:
            sets = ", ".join(place.folder.name for place in self.sets)
            raise UserError(
                f"{self.run} has no list of utterance {utterance} by search {self.search!r}, which "
                f"has decoded {sets}: decode its set first"
            )
        place, written = self._lines[utterance]
        line = self._relisting(place)(written)
        found = [
            Hypothesis(labels, one.score, one.scores)
            for one in line.hypotheses[: self.most]
            if (labels := self.tokenizer.encode_if_known(one.text)) is not None
        ]
        if len(found) < min(len(line.hypotheses), self.most) and not self._told:
            self._told = True
            log.warning(
                "%s, search %s: hypotheses with letters that the tokenizer lacks are left out, "
                "first in utterance %s", self.run, self.search, utterance,
            )  # fmt: skip
        return found

    @cached_property
    def _lines(self) -> dict[str, tuple[DecodedSet, NbestLine]]:
        """What was written of each utterance, and in which set."""
        found: dict[str, tuple[DecodedSet, NbestLine]] = {}
        for place in self.sets:
            for line in read_nbest(place.nbest):
                other = found.setdefault(line.id, (place, line))
                if other[1].hypotheses != line.hypotheses:
                    raise UserError(
                        f"{other[0].nbest} and {place.nbest} say different things of utterance "
                        f"{line.id}: delete the folder whose lists shall not count"
                    )
        return found

    def _relisting(self, place: DecodedSet) -> Relisting:
        """Returns what makes the lists of a set as deep as its lattices, if it has some."""
        if place.folder not in self._relistings:
            require_whole(place.folder, OpenSets())
            node = read_note(place.search).search
            relisting: Relisting = _as_written
            if node["type"] == "graph" and has_lattices(place.folder):
                weights = values_of(node, [])
                relisting = from_lattices(place.folder, weights, self.tokenizer, self.most)
            self._relistings[place.folder] = relisting
        return self._relistings[place.folder]


def _as_written(line: NbestLine) -> NbestLine:
    return line
