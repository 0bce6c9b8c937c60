"""What other toolkits' alignments mean: Kaldi's transitions and RASR's allophones as tied states.

Kaldi's alignments are transition ids, whose states `show-transitions phones.txt final.mdl` tells:

    Transition-state 1: phone = SIL hmm-state = 0 pdf = 0
     Transition-id = 1 p = 0.75 [self-loop]

RASR's have an allophone and a state for each frame. As text they are a line for each frame:
segment, frame, allophone, state. A state tying has lines of an allophone with its state, and a
number:

    a{b+c}@i.0 17

Where a line has a number only, after segment and frame, that is the tied state. RASR's own caches
(`asrkit.data.rasr_cache`) have the numbers of lines in a file of allophones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from asrkit.data.kaldi_archive import Integers, read_integers
from asrkit.data.rasr_cache import STATE_BIT, is_cache, read_cache
from asrkit.errors import UserError
from asrkit.files import read_lines

_STATE = re.compile(
    r"Transition-state \d+:.* (?:pdf|forward-pdf) = (\d+)(?: self-loop-pdf = (\d+))?"
)
_TRANSITION = re.compile(r" *Transition-id = (\d+) .*\[(self-loop|.*->.*)\]")


class KaldiStates:
    """Reads archives of pdfs, or of transition ids.

    Args:
        transitions: What `show-transitions` writes of the model, for transition ids; None for pdfs.

    Raises:
        UserError: If it is something else.
    """

    def __init__(self, transitions: Path | None = None) -> None:
        self.transitions = transitions
        self.pdfs = None if transitions is None else _pdfs(transitions)
        self.count = None if self.pdfs is None else int(self.pdfs.max()) + 1

    def __call__(self, path: Path) -> Iterator[tuple[str, Integers]]:
        """Yields the names and tied states of utterances.

        Raises:
            UserError: If the file is damaged, or the model has no such transition.
        """
        for name, ids in read_integers(path):
            if self.pdfs is None:
                yield name, ids
                continue
            wrong = ids[(ids < 1) | (ids >= len(self.pdfs))]
            if len(wrong):
                raise UserError(
                    f"{path}: utterance {name} has transition {wrong[0]}, {self.transitions} has "
                    f"1 to {len(self.pdfs) - 1}: is it of another model?"
                )
            yield name, self.pdfs[ids]


def _pdfs(path: Path) -> Integers:
    """Returns the pdf of every transition id; there is none of id 0."""
    found: dict[int, int] = {}
    forward = loop = -1
    for line in read_lines(path):
        state, transition = _STATE.match(line), _TRANSITION.match(line)
        if state:
            forward = int(state[1])
            loop = forward if state[2] is None else int(state[2])
        elif transition:
            found[int(transition[1])] = loop if transition[2] == "self-loop" else forward
    if not found or sorted(found) != list(range(1, len(found) + 1)) or -1 in found.values():
        raise UserError(
            f"{path} does not tell the transitions of a model: expected what Kaldi's "
            "`show-transitions phones.txt final.mdl` writes"
        )
    return np.array([0, *(found[number] for number in range(1, len(found) + 1))], np.int32)


class RasrStates:
    """Reads text of allophones and states, a line for each frame, or RASR's own caches.

    Args:
        tying: File of a state tying; None where lines have tied states.
        allophones: File of allophones, for caches.

    Raises:
        UserError: If a line of the tying is something else.
    """

    def __init__(self, tying: Path | None = None, allophones: Path | None = None) -> None:
        self.tying, self.allophones = tying, allophones
        self.numbers = None if tying is None else _tying(tying)
        self.count = None if self.numbers is None else max(self.numbers.values()) + 1

    def __call__(self, path: Path) -> Iterator[tuple[str, Integers]]:
        """Yields the names and tied states of utterances.

        Raises:
            UserError: If a line is something else, or the tying lacks its state.
        """
        if is_cache(path):
            yield from self._of_cache(path)
            return
        name, states = "", list[int]()
        for number, line in enumerate(read_lines(path), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            segment, frame, state = self._parsed(f"{path}:{number}", line)
            if segment != name:
                if states:
                    yield name, np.array(states, np.int32)
                name, states = segment, []
            if frame != len(states):
                raise UserError(f"{path}:{number}: expected frame {len(states)}, got {frame}")
            states.append(state)
        if states:
            yield name, np.array(states, np.int32)

    def _of_cache(self, path: Path) -> Iterator[tuple[str, Integers]]:
        if self.numbers is None or self.allophones is None:
            raise UserError(
                f"{path} is a cache of RASR, which has numbers of allophones: give the file of "
                "allophones (--allophones) and the state tying (--state-tying)"
            )
        names = [line for line in read_lines(self.allophones) if line and line[0] != "#"]
        known: dict[int, int] = {}
        for segment, numbers in read_cache(path):
            for number in set(numbers.tolist()) - known.keys():
                known[number] = self._tied(f"{path}: {segment}", number, names)
            yield segment, np.array([known[number] for number in numbers.tolist()], np.int32)

    def _tied(self, where: str, number: int, names: list[str]) -> int:
        line, state = number % (1 << STATE_BIT), number >> STATE_BIT
        if line >= len(names):
            raise UserError(f"{where}: {self.allophones} has no allophone {line}, but {len(names)}")
        tied = (self.numbers or {}).get(f"{names[line]}.{state}")
        if tied is None:
            raise UserError(f"{where}: {self.tying} has no state {names[line]}.{state}")
        return tied

    def _parsed(self, where: str, line: str) -> tuple[str, int, int]:
        fields = line.split()
        try:
            if self.numbers is None:
                segment, frame, state = fields
                return segment, int(frame), int(state)
            segment, frame, allophone, state = fields
            tied = self.numbers.get(f"{allophone}.{int(state)}")
        except ValueError as error:
            form = "tied state" if self.numbers is None else "allophone state"
            raise UserError(f"{where}: expected `segment frame {form}`, got {line!r}") from error
        if tied is None:
            raise UserError(f"{where}: {self.tying} has no state {allophone}.{state}")
        return segment, int(frame), tied


def _tying(path: Path) -> dict[str, int]:
    found = {}
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split()
        if len(fields) != 2 or not fields[1].isdigit():
            raise UserError(f"{path}:{number}: expected `allophone.state number`, got {line!r}")
        found[fields[0]] = int(fields[1])
    if not found:
        raise UserError(f"{path} is empty: expected a state tying")
    return found
