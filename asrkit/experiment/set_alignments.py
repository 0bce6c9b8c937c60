"""The alignments of a set as they are found, and the files that they are written to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrkit.data.alignments import Alignments
from asrkit.data.frame_targets import FrameTargets
from asrkit.files import write_lines
from asrkit.hmm.alignments import Alignment, phone_arrays
from asrkit.run_folder import RunFolder


class Timed(NamedTuple):
    """A label, word or phone and its frames, from `begin` to before `end`."""

    name: str
    begin: int
    end: int


class Times:
    """Labels, words or phones and their frames, in little memory.

    Args:
        timed: In order.
    """

    def __init__(self, timed: Sequence[Timed]) -> None:
        self.names = [one.name for one in timed]
        self.spans = np.array([one[1:] for one in timed], np.int32).reshape(-1, 2)

    def __iter__(self) -> Iterator[Timed]:
        """Yields them in order."""
        for name, (begin, end) in zip(self.names, self.spans.tolist(), strict=True):
            yield Timed(name, begin, end)

    def ctm(self, utterance: str, seconds: float) -> Iterator[str]:
        """Yields lines of a CTM file; `seconds` are between frames."""
        for name, begin, end in sorted(self, key=lambda one: one.begin):
            yield f"{utterance} 1 {begin * seconds:.3f} {(end - begin) * seconds:.3f} {name}"


@dataclass(frozen=True)
class AlignedUtterance:
    """The alignment of an utterance.

    Args:
        id: Its name.
        symbols: One per frame.
        times: Of its labels, or its words.
        words: Times of the words that labels spell.
        phones: Times of its phones, if they are known.
        states: Its phones and words frame by frame, if they are known.
    """

    id: str
    symbols: Iterable[int]
    times: Sequence[Timed]
    words: Sequence[Timed] = ()
    phones: Sequence[Timed] = ()
    states: Alignment | None = None


class SetAlignments:
    """The alignments of a set: times of labels, and symbols of frames.

    Args:
        targets: What the symbols of frames are; None where a frame may have several.
        tree: Digest of the tree whose states they are, if any.
    """

    def __init__(self, targets: FrameTargets | None, tree: str = "") -> None:
        self.utterances = 0
        self.times: dict[str, tuple[float, list[Times]]] = {}
        self.symbols = None if targets is None else Alignments(targets, tree=tree)
        self.states: dict[tuple[str, float], Alignment] = {}

    def add(self, one: AlignedUtterance, speed: float, seconds: float) -> None:
        """Takes up an utterance; `seconds` are between its frames."""
        self.utterances += 1
        if self.symbols is not None:
            self.symbols.add(one.id, speed, one.symbols)
        if one.states is not None:  # whose states are the symbols
            self.states[one.id, speed] = replace(one.states, states=np.zeros(0, np.int32))
        if speed == 1.0:
            self.times[one.id] = seconds, [Times(one.times), Times(one.words), Times(one.phones)]

    def write(self, run: RunFolder, set_name: str) -> list[Path]:
        """Writes what there is; returns the paths."""
        written = []
        places = run.times(set_name), run.word_times(set_name), run.phone_times(set_name)
        for number, path in enumerate(places):
            if any(times[number].names for _, times in self.times.values()):
                write_lines(path, self._lines(number))
                written.append(path)
        if self.symbols is not None:
            states = [self.states[key] for key in sorted(self.states)]
            more = phone_arrays(states) if states else None
            self.symbols.write(run.frames(set_name), more)
            written.append(run.frames(set_name))
        return written

    def _lines(self, number: int) -> Iterator[str]:
        for name, (seconds, times) in sorted(self.times.items(), key=lambda item: item[0]):
            yield from times[number].ctm(name, seconds)
