"""What may have been said by a transcript whose times nobody knows: a graph of phones.

Its paths are those of the denominator of LF-MMI that say the transcript, in any of its
pronunciations, with silence or without, and with any times.

Source: Hadian et al. 2018, "End-to-end speech recognition using lattice-free MMI".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asrkit.compiled import compiled
from asrkit.losses.mmi_graphs import Doubles, Ints


@dataclass(frozen=True)
class SaidGraph:
    """All ways to say a transcript: K places, each a phone after some history.

    Args:
        firsts: (K,) tied states of the first frames of phones.
        stays: (K,) tied states of further frames.
        loops: (K,) log-weights of further frames.
        starts: (K,) log-weights of beginning there; -inf where no path begins.
        ends: (K,) whether paths end there.
        offsets: (K + 1,) of the arcs by what they lead to.
        sources: (A,) places that arcs come from.
        weights: (A,) log-weights of arcs.
    """

    firsts: Ints
    stays: Ints
    loops: Doubles
    starts: Doubles
    ends: npt.NDArray[np.bool_]
    offsets: Ints
    sources: Ints
    weights: Doubles

    def sum(self, scores: Any, posteriors: Any) -> float:
        """Returns the log of the summed weights of all paths, and adds their posteriors.

        Args:
            scores: (T, S) log-scores of the frames.
            posteriors: (T, S) to which the posteriors of tied states are added; nothing where there
                is no path, for which -inf is returned.
        """
        return sum_graph(
            scores, self.firsts, self.stays, self.loops, self.starts, self.ends, self.offsets,
            self.sources, self.weights, posteriors,
        )  # fmt: skip


def stand_in() -> SaidGraph:
    """Returns a graph of one phone, for where a model is tried without data."""
    zero, nothing = np.zeros(1), np.zeros(0)
    return SaidGraph(
        np.array([0], np.int32),
        np.array([1], np.int32),
        zero,
        zero,
        np.array([True]),
        np.array([0, 0], np.int32),
        nothing.astype(np.int32),
        nothing,
    )


@compiled
def sum_graph(  # noqa: C901 - compiled loops
    scores: Any,
    firsts: Any,
    stays: Any,
    loops: Any,
    starts: Any,
    ends: Any,
    offsets: Any,
    sources: Any,
    weights: Any,
    posteriors: Any,
) -> float:
    """Returns the log of the summed weights of all paths, and adds their posteriors.

    Args:
        scores: (T, S) log-scores of the frames.
        firsts: (K,) and what follows: of the graph.
        stays: (K,).
        loops: (K,).
        starts: (K,).
        ends: (K,).
        offsets: (K + 1,).
        sources: (A,).
        weights: (A,).
        posteriors: (T, S) to which the posteriors of tied states are added.
    """
    frames, size = scores.shape[0], len(firsts)
    forward = np.full((frames, size), -np.inf)
    entered = np.full((frames, size), -np.inf)  # of those paths whose phone begins in the frame
    for t in range(frames):
        for k in range(size):
            enter = starts[k] if t == 0 else -np.inf
            stay = -np.inf
            if t > 0:
                for arc in range(offsets[k], offsets[k + 1]):
                    enter = log_add(enter, forward[t - 1, sources[arc]] + weights[arc])
                stay = forward[t - 1, k] + loops[k]
            if enter > -np.inf:
                entered[t, k] = enter + scores[t, firsts[k]]
            if stay > -np.inf:
                stay += scores[t, stays[k]]
            forward[t, k] = log_add(entered[t, k], stay)
    total = -np.inf
    after = np.full(size, -np.inf)
    for k in range(size):
        if ends[k]:
            after[k] = 0.0
            if frames > 0:
                total = log_add(total, forward[frames - 1, k])
    if total == -np.inf:
        return -np.inf
    before = np.empty(size)
    for t in range(frames - 1, -1, -1):
        before[:] = -np.inf
        for k in range(size):
            if after[k] == -np.inf or forward[t, k] == -np.inf:
                continue
            ahead = np.exp(forward[t, k] + after[k] - total)
            begun = np.exp(entered[t, k] + after[k] - total)
            posteriors[t, firsts[k]] += begun
            if t == 0:
                continue
            if ahead > begun:
                posteriors[t, stays[k]] += ahead - begun
            enter = scores[t, firsts[k]] + after[k]
            for arc in range(offsets[k], offsets[k + 1]):
                source = sources[arc]
                before[source] = log_add(before[source], enter + weights[arc])
            if loops[k] > -np.inf:
                before[k] = log_add(before[k], loops[k] + scores[t, stays[k]] + after[k])
        after[:] = before
    return float(total)


@compiled
def log_add(one: float, other: float) -> float:
    """Returns log(exp(one) + exp(other))."""
    best = max(one, other)
    if best == -np.inf:
        return -np.inf
    return float(best + np.log1p(np.exp(min(one, other) - best)))
