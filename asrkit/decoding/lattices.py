"""The lattices of a decode and words with times, kept batch by batch and written as files."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from asrkit.decoding.partial_results import PartialResults
from asrkit.files import write_lines
from asrkit.run_files import NbestLine
from asrkit.run_folder import DecodedSet
from asrkit.search.lattices import PlacedWord, placed_words
from asrkit.wfst.lattice_file import NamedLattice, write_lattices

log = logging.getLogger(__name__)


class Timed(NamedTuple):
    """A word of a best hypothesis, its times in seconds."""

    begin: float
    duration: float
    word: str
    confidence: float


class LatticeResults:
    """Lattices of a set that is not complete yet, and its words with times and confidences.

    Args:
        place: Where the set's results are.
        fingerprint: Of everything they depend on.
        weights: Of the lattices' scores, by scorer.
    """

    def __init__(self, place: DecodedSet, fingerprint: str, weights: Mapping[str, float]) -> None:
        self.place, self.fingerprint, self.weights = place, fingerprint, weights
        self.results = PartialResults(place.partial_lattices, fingerprint)
        self.words = PartialResults(place.partial_words, fingerprint)

    def add(self, lines: Sequence[NbestLine], lattices: Sequence[NamedLattice | None]) -> None:
        """Adds those of a batch.

        Raises:
            UserError: If a file cannot be written.
        """
        pairs = [*zip(lines, lattices, strict=True)]
        words = [{"id": line.id, "words": self._words(line, one)} for line, one in pairs]
        self.words.add(words, {})
        kept = [{"id": line.id, "lattice": one and one.as_json()} for line, one in pairs]
        self.results.add(kept, {})

    def finish(self, names: Sequence[str]) -> None:
        """Writes the files of all utterances, in order."""
        header = json.dumps({"fingerprint": self.fingerprint})
        write_lattices(self.place.lattices, [header, *(self.results.lines[n] for n in names)])
        found = {name: self._of(name) for name in names}
        write_lines(self.place.words, _ctm(found))
        lacking = [name for name, words in found.items() if words is None]
        if lacking:
            log.warning(
                "%s lacks %d utterances, such as %s: their best hypotheses are not in their "
                "lattices, or were found by an older version",
                self.place.words,
                len(lacking),
                lacking[0],
            )
        self.place.partial_lattices.unlink(missing_ok=True)
        self.place.partial_words.unlink(missing_ok=True)

    def _words(self, line: NbestLine, lattice: NamedLattice | None) -> list[Timed] | None:
        """Returns the words of the best hypothesis; None where the lattice doesn't have them."""
        if lattice is None or not line.hypotheses:
            return []
        found = placed_words(lattice, self.weights, line.hypotheses[0].labels)
        return None if found is None else _timed(found, lattice.heard, line.seconds)

    def _of(self, name: str) -> list[Timed] | None:
        line = self.words.lines.get(name)
        found: list[Timed] | None = None if line is None else json.loads(line)["words"]
        return found


def _timed(words: Sequence[PlacedWord], heard: int, seconds: float) -> list[Timed]:
    """Returns when words were written, each until the next one.

    Args:
        words: In order.
        heard: Frames of the utterance.
        seconds: Its duration.
    """
    shift = seconds / max(heard, 1)
    # The frame that was heard last when a word was written; best paths to several places of a
    # lattice may differ in it.
    begins = np.maximum.accumulate([max(one.written - 1, 0) for one in words] or [0])
    bounds = [*begins.tolist(), max(heard, int(begins[-1]))]
    return [
        Timed(begin * shift, (end - begin) * shift, one.word, one.confidence)
        for one, begin, end in zip(words, bounds, bounds[1:], strict=False)
    ]


def _ctm(found: Mapping[str, Sequence[Timed] | None]) -> Iterator[str]:
    for name, words in found.items():
        for begin, duration, word, confidence in words or ():
            yield f"{name} 1 {begin:.3f} {duration:.3f} {word} {confidence:.4f}"
