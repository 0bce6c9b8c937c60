"""What the loss of LF-MMI sums over: all that a phone n-gram can say, and what was said.

Both are graphs of the same states, the histories of the n-gram. An arc to a state says a phone: its
first frame has one tied state, and every further frame, which stays in the history, another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from asrkit.compiled import compiled

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
NONE = -1
"""The tied state of frames that no utterance has, and of a history that can't be stayed in."""


@dataclass(frozen=True)
class Denominator:
    """All that can be said: N histories, of which the first is the beginning, and A arcs.

    Args:
        stays: (N,) tied state of frames that stay in a history; -1 where none can.
        stay_weights: (N,) their probabilities.
        initial: (N,) probability of being there before the first frame of a chunk.
        sources: (A,) histories that arcs begin in.
        targets: (A,) those that they lead to.
        states: (A,) the tied state of an arc's frame, the first of a phone.
        weights: (A,) probabilities of arcs.
        phones: (S,) the phone of each tied state.
        begins: (S,) whether it is that of a phone's first frame.
        pairs: (N, 2) the last two phones of histories.

    Raises:
        ValueError: If a history has two arcs of the same phone.
    """

    stays: Ints
    stay_weights: Floats
    initial: Floats
    sources: Ints
    targets: Ints
    states: Ints
    weights: Floats
    phones: Ints
    begins: npt.NDArray[np.bool_]
    pairs: Ints

    def __post_init__(self) -> None:
        if len(np.unique(self._keys)) < len(self.states):
            raise ValueError("a history has two arcs of the same phone")

    @property
    def num_states(self) -> int:
        """S, tied states."""
        return len(self.phones)

    @property
    def _keys(self) -> npt.NDArray[np.int64]:
        return self.sources.astype(np.int64) * self._width + self.phones[self.states]

    @property
    def _width(self) -> int:
        return int(self.phones.max()) + 1

    @cached_property
    def _arcs(self) -> dict[int, int]:
        return {int(key): arc for arc, key in enumerate(self._keys)}

    def arc(self, history: int, phone: int) -> int | None:
        """Returns the arc by which a history says a phone; None where it has none."""
        return self._arcs.get(history * self._width + phone)

    @cached_property
    def _histories(self) -> dict[tuple[int, ...], int]:
        places = reversed(list(enumerate(self.pairs.tolist())))
        return {tuple(pair): history for history, pair in places}

    def after(self, before: int, phone: int) -> int | None:
        """Returns a history that ends in two phones; None where there is none."""
        return self._histories.get((before, phone))

    @cached_property
    def by_target(self) -> tuple[Ints, Ints]:
        """Returns offsets (N + 1,) and the arcs (A,) in the order of what they lead to."""
        return _grouped(self.targets, len(self.stays))

    @cached_property
    def by_source(self) -> tuple[Ints, Ints]:
        """Returns offsets (N + 1,) and the arcs (A,) in the order of where they begin."""
        return _grouped(self.sources, len(self.stays))


def _grouped(places: Ints, size: int) -> tuple[Ints, Ints]:
    offsets = np.concatenate([[0], np.bincount(places, minlength=size).cumsum()])
    return offsets.astype(np.int32), places.argsort(kind="stable").astype(np.int32)


@dataclass(frozen=True)
class Numerator:
    """What was said in an utterance: K phones in a row, the first after nothing.

    Args:
        firsts: (K,) tied states of their first frames.
        stays: (K,) tied states of further frames.
        entries: (K,) log-weights of beginning them; -inf where the n-gram can't say one.
        loops: (K,) log-weights of staying in them.
        initial: (K + 1,) log-probability of being after so many phones before a chunk begins.
        earliest: (K,) the first frame that each may have.
        latest: (K,) the frame after the last one.
    """

    firsts: Ints
    stays: Ints
    entries: Doubles
    loops: Doubles
    initial: Doubles
    earliest: Ints
    latest: Ints


class NumeratorCompiler:
    """Makes numerators of aligned utterances.

    Args:
        denominator: What can be said.
        step: Frames of alignments in a frame of scores.
        tolerance: Frames of alignments that phones may begin earlier and end later.
    """

    def __init__(self, denominator: Denominator, step: int, tolerance: int) -> None:
        self.denominator, self.step, self.tolerance = denominator, step, tolerance

    def __call__(self, symbols: Ints, num_frames: int) -> Numerator | None:
        """Returns the numerator of an utterance.

        Args:
            symbols: (N,) tied states of its frames, the first of a phone's first frame.
            num_frames: Frames of scores.

        Returns:
            None where its first frame does not begin a phone.
        """
        found = self.denominator
        starts = np.flatnonzero(found.begins[symbols])
        if not len(starts) or starts[0] > 0:
            return None
        ends = np.append(starts[1:], len(symbols))
        history: int | None = 0
        before = int(found.pairs[0, 1])
        firsts, stays, entries, loops = [], [], [], []
        initial = [_log(found.initial[0])]
        for state in symbols[starts].tolist():
            phone = int(found.phones[state])
            arc = None if history is None else found.arc(history, phone)
            # After an unknown n-gram, what follows is said after its last phones.
            history = found.after(before, phone) if arc is None else int(found.targets[arc])
            before = phone
            firsts.append(state)
            stays.append(NONE if history is None else int(found.stays[history]))
            entries.append(-np.inf if arc is None else _log(found.weights[arc]))
            loops.append(-np.inf if history is None else _log(found.stay_weights[history]))
            initial.append(-np.inf if history is None else _log(found.initial[history]))
        earliest = -((self.tolerance - starts) // self.step)  # rounded up
        latest = -((-self.tolerance - ends) // self.step)
        latest[-1] = num_frames
        return Numerator(
            np.array(firsts, np.int32),
            np.array(stays, np.int32),
            np.array(entries),
            np.array(loops),
            np.array(initial),
            earliest.clip(0, num_frames).astype(np.int32),
            latest.clip(0, num_frames).astype(np.int32),
        )


def _log(probability: Any) -> float:
    return math.log(float(probability)) if probability > 0 else -np.inf


@compiled
def sum_said(  # noqa: C901 - compiled loops
    scores: Any,
    firsts: Any,
    stays: Any,
    entries: Any,
    loops: Any,
    initial: Any,
    earliest: Any,
    latest: Any,
    begin: int,
    posteriors: Any,
) -> float:
    """Returns the log of the summed weights of a chunk's paths, and adds their posteriors.

    Args:
        scores: (T, S) log-scores of the chunk's frames.
        firsts: (K,) and what follows: of the numerator.
        stays: (K,).
        entries: (K,).
        loops: (K,).
        initial: (K + 1,).
        earliest: (K,).
        latest: (K,).
        begin: The chunk's first frame in the utterance; of its first one, only nothing was said.
        posteriors: (T, S) to which the posteriors of tied states are added.
    """
    frames, phones = scores.shape[0], len(firsts)
    forward = np.full((frames + 1, phones + 1), -np.inf)
    forward[0] = initial
    if begin == 0:
        forward[0, 1:] = -np.inf
    for t in range(frames):
        for k in range(phones):
            if begin + t < earliest[k] or begin + t >= latest[k]:
                continue
            enter = forward[t, k] + entries[k]
            if enter > -np.inf:
                enter += scores[t, firsts[k]]
            stay = forward[t, k + 1] + loops[k]
            if stay > -np.inf:
                stay += scores[t, stays[k]]
            best = max(enter, stay)
            if best > -np.inf:
                forward[t + 1, k + 1] = best + np.log(np.exp(enter - best) + np.exp(stay - best))
    top = forward[frames].max()
    if top == -np.inf:
        return -np.inf
    total = top + np.log(np.exp(forward[frames] - top).sum())
    after = np.zeros(phones + 1)
    before = np.empty(phones + 1)
    for t in range(frames - 1, -1, -1):
        before[:] = -np.inf
        for k in range(phones):
            if begin + t < earliest[k] or begin + t >= latest[k]:
                continue
            enter = entries[k] + after[k + 1]
            if enter > -np.inf:
                enter += scores[t, firsts[k]]
                posteriors[t, firsts[k]] += np.exp(forward[t, k] + enter - total)
            stay = loops[k] + after[k + 1]
            if stay > -np.inf:
                stay += scores[t, stays[k]]
                posteriors[t, stays[k]] += np.exp(forward[t, k + 1] + stay - total)
            # What leaves the place before phone k enters it; that of the place after it stays.
            best = max(before[k], enter)
            if best > -np.inf:
                before[k] = best + np.log(np.exp(before[k] - best) + np.exp(enter - best))
            best = max(before[k + 1], stay)
            if best > -np.inf:
                before[k + 1] = best + np.log(np.exp(before[k + 1] - best) + np.exp(stay - best))
        after[:] = before
    return float(total)


def ring(num_states: int) -> Denominator:
    """Returns a stand-in in which every phone is followed by the next, two tied states each."""
    phones = np.arange(num_states, dtype=np.int32) // 2
    count = num_states // 2
    numbers = np.arange(count, dtype=np.int32)
    half = np.full(count, 0.5, np.float32)
    return Denominator(
        np.concatenate([[NONE], 2 * numbers + 1]).astype(np.int32),
        np.concatenate([[0], half]).astype(np.float32),
        np.full(count + 1, 1 / (count + 1), np.float32),
        np.concatenate([numbers, [count]]).astype(np.int32),
        np.concatenate([numbers + 1, [1]]).astype(np.int32),
        np.concatenate([2 * numbers, [0]]).astype(np.int32),
        np.append(half, 0.5).astype(np.float32),
        phones,
        np.arange(num_states) % 2 == 0,
        np.stack([np.arange(count + 1) - 2, np.arange(count + 1) - 1], axis=1).astype(np.int32),
    )
