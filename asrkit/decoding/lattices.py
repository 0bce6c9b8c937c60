"""The lattices of a decode and words with times, kept batch by batch and written as files."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from asrkit.data.batch import Batch
from asrkit.data.batch_info import UtteranceInfo
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


WordSpans = dict[str, list[tuple[float, float]]]
"""Begin and end, in seconds, of the words of utterances, by name."""
AlignsWords = Callable[[Batch, Sequence[UtteranceInfo]], WordSpans]
"""Tells when the words of references are said, of those utterances in which they can be."""


class _Words(NamedTuple):
    """The words of an utterance, None where they are unknown; whether they were aligned."""

    words: list[Timed] | None
    aligned: bool

    @classmethod
    def of_json(cls, fields: Mapping[str, Any]) -> _Words:
        return cls(fields["words"], fields["aligned"])


class LatticeResults:
    """Lattices of a set that is not complete yet, and its words with times and confidences.

    Args:
        place: Where the set's results are.
        fingerprint: Of everything they depend on.
        weights: Of the lattices' scores, by scorer.
        aligned: Tells when words are said; where null, and where it can't, their times are those
            when they were written.
    """

    def __init__(
        self,
        place: DecodedSet,
        fingerprint: str,
        weights: Mapping[str, float],
        aligned: AlignsWords | None = None,
    ) -> None:
        self.place, self.fingerprint, self.weights = place, fingerprint, weights
        self.aligned = aligned
        self.cut = 0
        self.results = PartialResults(place.partial_lattices, fingerprint)
        self.words = PartialResults(place.partial_words, fingerprint)

    def add(
        self,
        batch: Batch,
        infos: Sequence[UtteranceInfo],
        lines: Sequence[NbestLine],
        lattices: Sequence[NamedLattice | None],
    ) -> None:
        """Adds those of a batch.

        Raises:
            UserError: If a file cannot be written.
        """
        pairs = [*zip(lines, lattices, strict=True)]
        spans: WordSpans = {}
        if self.aligned is not None and any(line.text for line in lines):
            said = zip(infos, lines, strict=True)
            spans = self.aligned(batch, [replace(info, reference=line.text) for info, line in said])
        self.words.add([self._words(*pair, spans) for pair in pairs], {})
        self.cut += sum(1 for one in lattices if one is not None and not one.lattice.whole)
        kept = [{"id": line.id, "lattice": one and one.as_json()} for line, one in pairs]
        self.results.add(kept, {})

    def finish(self, names: Sequence[str]) -> None:
        """Writes the files of all utterances, in order."""
        header = json.dumps({"fingerprint": self.fingerprint})
        write_lattices(self.place.lattices, [header, *(self.results.lines[n] for n in names)])
        found = {name: self._of(name) for name in names}
        write_lines(self.place.words, _ctm({name: one.words for name, one in found.items()}))
        self._tell(found)
        self.place.partial_lattices.unlink(missing_ok=True)
        self.place.partial_words.unlink(missing_ok=True)

    def _tell(self, found: Mapping[str, _Words]) -> None:
        """Says which words are lacking, and which times are not those of an alignment."""
        lacking = [name for name, one in found.items() if one.words is None]
        if lacking:
            log.warning(
                "%s lacks the words of %d utterances, such as %s: their best hypotheses are not in "
                "their lattices, or an older version found them",
                self.place.words,
                len(lacking),
                lacking[0],
            )
        if self.cut:
            log.info(
                "%s: %d lattices hold the best of what was within the beam, which was too much",
                self.place.lattices, self.cut,
            )  # fmt: skip
        written = [n for n, one in found.items() if one.words is not None and not one.aligned]
        if written and self.aligned is not None:
            log.warning(
                "%s: the words of %d utterances, such as %s, could not be aligned, and have the "
                "times when they were written",
                self.place.words,
                len(written),
                written[0],
            )

    def _words(
        self, line: NbestLine, lattice: NamedLattice | None, spans: WordSpans
    ) -> dict[str, Any]:
        """Returns the words of the best hypothesis; null where the lattice doesn't have them."""
        if lattice is None or not line.hypotheses:
            return {"id": line.id, "words": [], "aligned": True}
        found = placed_words(lattice, self.weights, line.hypotheses[0].labels)
        if found is None:
            return {"id": line.id, "words": None, "aligned": False}
        aligned = spans.get(line.id, [])
        whole = len(aligned) == len(found)
        times = aligned if whole else _written(found, lattice.heard, line.seconds)
        words = [
            Timed(begin, end - begin, one.word, one.confidence)
            for one, (begin, end) in zip(found, times, strict=True)
        ]
        return {"id": line.id, "words": words, "aligned": whole}

    def _of(self, name: str) -> _Words:
        line = self.words.lines.get(name)
        # Older versions have interrupted decodes without words.
        return _Words(None, False) if line is None else _Words.of_json(json.loads(line))


def _written(words: Sequence[PlacedWord], heard: int, seconds: float) -> list[tuple[float, float]]:
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
    bounds = [*(shift * begins).tolist(), shift * max(heard, int(begins[-1]))]
    return [*zip(bounds[: len(words)], bounds[1:], strict=False)]


def _ctm(found: Mapping[str, Sequence[Timed] | None]) -> Iterator[str]:
    for name, words in found.items():
        for begin, duration, word, confidence in words or ():
            yield f"{name} 1 {begin:.3f} {duration:.3f} {word} {confidence:.4f}"
