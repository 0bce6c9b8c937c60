"""The alignments of a set as they are found, and the files that they are written to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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
        self.rows: list[str] = []
        self.word_rows: list[str] = []
        self.phone_rows: list[str] = []
        self.symbols = None if targets is None else Alignments(targets, tree=tree)
        self.states: dict[tuple[str, float], Alignment] = {}

    def add(self, one: AlignedUtterance, speed: float, seconds: float) -> None:
        """Takes up an utterance; `seconds` are between its frames."""
        self.utterances += 1
        if self.symbols is not None:
            self.symbols.add(one.id, speed, one.symbols)
        if one.states is not None:
            self.states[one.id, speed] = one.states
        if speed == 1.0:
            self.rows += _ctm(one.id, one.times, seconds)
            self.word_rows += _ctm(one.id, one.words, seconds)
            self.phone_rows += _ctm(one.id, one.phones, seconds)

    def write(self, run: RunFolder, set_name: str) -> list[Path]:
        """Writes what there is; returns the paths."""
        written = []
        places = {
            run.times(set_name): self.rows,
            run.word_times(set_name): self.word_rows,
            run.phone_times(set_name): self.phone_rows,
        }
        for path, rows in places.items():
            if rows:
                write_lines(path, sorted(rows, key=_by_time))
                written.append(path)
        if self.symbols is not None:
            states = [self.states[key] for key in sorted(self.states)]
            more = phone_arrays(states) if states else None
            self.symbols.write(run.frames(set_name), more)
            written.append(run.frames(set_name))
        return written


def _ctm(name: str, times: Sequence[Timed], seconds: float) -> list[str]:
    """Returns the lines of an utterance."""
    return [
        f"{name} 1 {begin * seconds:.3f} {(end - begin) * seconds:.3f} {label}"
        for label, begin, end in times
    ]


def _by_time(row: str) -> tuple[str, float]:
    fields = row.split()
    return fields[0], float(fields[2])
