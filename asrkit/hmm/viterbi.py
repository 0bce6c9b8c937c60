"""The best path of an utterance through the states of its own graph.

States are numbered such that all arcs but loops lead to higher numbers. A frame then needs one pass
over the states from the last to the first, in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asrkit.compiled import compiled, compiled_sums
from asrkit.hmm.gaussians import Mixtures

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

_Parts = tuple[Floats, Floats, Floats, npt.NDArray[np.int64]]
"""Powers of the frames; constants and factors of the Gaussians; which of them each column has."""

BEAM = 100.0
"""States that are worse than the best by more, in log-likelihood, are given up."""
WIDER = 10.0
"""A search that does not reach the end is repeated with a beam so many times as wide."""


@dataclass(frozen=True)
class StateGraph:
    """The S states of an utterance and the A arcs between them, which lead forwards.

    Args:
        states: (S,) the tied state whose score each takes.
        loops: (S,) costs (-log p) of staying.
        starts: (S,) costs of beginning there; infinity where no path begins.
        ends: (S,) costs of ending there; infinity where no path ends.
        offsets: (S + 1,) state s is entered by the arcs offsets[s] .. offsets[s + 1] - 1.
        sources: (A,) where arcs come from; below the state that they enter.
        costs: (A,) of the arcs.
    """

    states: Ints
    loops: Floats
    starts: Floats
    ends: Floats
    offsets: Ints
    sources: Ints
    costs: Floats

    def __len__(self) -> int:
        """S."""
        return len(self.states)

    @cached_property
    def reach(self) -> int:
        """How many states ahead the longest arc leads."""
        targets = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        return int((targets - self.sources).max(initial=1))


@dataclass(frozen=True)
class Path:
    """A path through a graph.

    Args:
        states: (T,) numbers of the graph's states.
        score: Sum of log-likelihoods, less the costs.
    """

    states: Ints
    score: float


def best_path(graph: StateGraph, scores: Floats, columns: Ints, beam: float = BEAM) -> Path | None:
    """Returns the best path of all frames from a start to an end; None where there is none.

    Args:
        graph: The states and arcs.
        scores: (T, P) log-likelihoods.
        columns: (S,) which column of the scores each state of the graph takes.
        beam: Of the first search. If that finds no path, one with a beam ten times as wide follows,
            and then one without any.

    Raises:
        ValueError: If a score is not a number, or the graph asks for a column that is not there.
    """
    if np.isnan(scores).any():
        raise ValueError("scores of states must be numbers, got NaN: are the features finite?")
    if columns.max() >= scores.shape[1]:
        raise ValueError(f"the graph asks for column {columns.max()} of {scores.shape[1]}")
    nothing = np.zeros((0, 0), np.float32), np.zeros(0, np.float32), np.zeros((0, 0), np.float32)
    no_states = np.zeros((scores.shape[1], 2), np.int64)
    scores = np.ascontiguousarray(scores, np.float32)
    return _searched(graph, scores, columns, (*nothing, no_states), beam)


def best_path_by_mixtures(
    graph: StateGraph, mixtures: Mixtures, frames: Tensor, beam: float = BEAM
) -> Path | None:
    """Returns the best path as `best_path` does; scores are computed where the search asks.

    Args:
        graph: The states and arcs, of the tied states of the mixtures.
        mixtures: The Gaussians.
        frames: (T, D).
        beam: As in `best_path`.

    Raises:
        ValueError: If a frame is not finite.
    """
    if not bool(frames.isfinite().all()):
        raise ValueError("features of frames must be finite numbers")
    states, columns = np.unique(graph.states, return_inverse=True)
    offsets = mixtures.offsets.numpy()
    powers = torch.cat([frames, frames.square()], dim=1).float().contiguous().numpy()
    rows = np.stack([offsets[states], offsets[states + 1]], axis=1)
    parts = powers, mixtures.constants.numpy(), mixtures.factors.numpy(), rows
    unknown = np.full((len(frames), len(states)), np.nan, np.float32)
    return _searched(graph, unknown, columns, parts, beam)


def _searched(
    graph: StateGraph, scores: Floats, columns: npt.NDArray[np.integer], parts: _Parts, beam: float
) -> Path | None:
    """Returns the best path; scores that are NaN are computed of the mixtures."""
    if not len(scores):
        return None
    columns = columns.astype(np.int32)
    arcs = graph.loops, graph.offsets, graph.sources, graph.costs, graph.reach
    for width in dict.fromkeys((beam, beam * WIDER, np.inf)):
        value = -graph.starts.astype(np.float64)
        back = _search(scores, columns, *arcs, value, float(width), *parts)
        total = value - graph.ends
        end = int(total.argmax())
        if np.isfinite(total[end]):
            return Path(_traced(back, end), float(total[end]))
    return None


@compiled
def _search(
    scores: Any,
    columns: Any,
    loops: Any,
    offsets: Any,
    sources: Any,
    costs: Any,
    reach: int,
    value: Any,
    beam: float,
    powers: Any,
    constants: Any,
    factors: Any,
    rows: Any,
) -> Any:
    """Returns where every state came from (T, S); `value` (S,) becomes that of the last frame."""
    back = np.full((len(scores), len(columns)), -1, np.int32)
    low, high = 0, len(columns)  # all other states are given up
    for frame in range(len(scores)):
        if frame > 0:
            low, high = _prune(value, low, high, beam, reach)
        for state in range(high - 1, low - 1, -1):
            if frame > 0:
                value[state], back[frame, state] = _entered(
                    value, state, low, loops, offsets, sources, costs
                )
            if value[state] > -np.inf:
                column = columns[state]
                if np.isnan(scores[frame, column]):
                    begin, end = rows[column]
                    scores[frame, column] = _log_likelihood(
                        powers[frame], constants[begin:end], factors[begin:end]
                    )
                value[state] += scores[frame, column]
    return back


@compiled
def _entered(
    value: Any, state: int, low: int, loops: Any, offsets: Any, sources: Any, costs: Any
) -> tuple[float, int]:
    """Returns the best way into a state: its value, and where it is from."""
    found, origin = value[state] - loops[state], state
    for arc in range(offsets[state], offsets[state + 1]):
        source = sources[arc]
        if source >= low and value[source] - costs[arc] > found:
            found, origin = value[source] - costs[arc], source
    return found, origin


@compiled_sums
def _log_likelihood(powers: Any, constants: Any, factors: Any) -> float:
    """Returns log p of a frame [x, x²] (2 D,) under a mixture of C Gaussians."""
    most, total = np.float32(-np.inf), np.float32(0.0)
    for row in range(len(constants)):
        value = constants[row]
        for column in range(len(powers)):
            value += factors[row, column] * powers[column]
        if value > most:
            total = total * np.exp(most - value) + np.float32(1.0)
            most = value
        else:
            total += np.exp(value - most)
    result: float = most + np.log(total)
    return result


@compiled
def _prune(value: Any, low: int, high: int, beam: float, reach: int) -> tuple[int, int]:
    """Gives bad states up; returns the range of those that the next frame can be in."""
    least = value[low:high].max() - beam if low < high else 0.0
    first, last = high, low - 1
    for state in range(low, high):
        if value[state] < least:
            value[state] = -np.inf
        elif value[state] > -np.inf:
            first, last = min(first, state), state
    return first, min(last + reach + 1, len(value))


@compiled
def _traced(back: Any, state: int) -> Any:
    """Returns the path (T,) that ends in a state."""
    path = np.zeros(len(back), np.int32)
    for frame in range(len(back) - 1, -1, -1):
        path[frame] = state
        state = back[frame, state]
    return path
