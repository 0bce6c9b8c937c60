"""Sums over all that can be said: the forward and backward recursions of LF-MMI's denominator.

They are of probabilities, scaled in each frame, for all chunks of a batch at once, whose values are
next to each other. Frames are left and entered at any history with a small probability ("leaky").

Source: Povey et al. 2016, "Purely sequence-trained neural networks for ASR based on lattice-free
MMI"; Kaldi's chain/chain-denominator.cc.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from asrkit.compiled import compiled_sums

Pass = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], None]
"""Goes through a frame: adds up exponents (2, S, B) and values (2, N, B) to a result (2, N, B); and
with forward sums (2, N, B), which may be of 0 histories, to posteriors (2, S, B)."""


class Ways(NamedTuple):
    """The denominator, with its arcs in the order of one of their ends.

    Args:
        stays: (N,) tied states of frames that stay in a history; -1 where none can.
        stay_weights: (N,).
        initial: (N,).
        offsets: (N + 1,) of the arcs.
        arcs: (A,) in that order.
        others: (A,) histories at the other ends of arcs.
        states: (A,).
        weights: (A,).
    """

    stays: Any
    stay_weights: Any
    initial: Any
    offsets: Any
    arcs: Any
    others: Any
    states: Any
    weights: Any


@compiled_sums
def forward_sums(  # noqa: C901 - compiled loops
    exps: Any,
    lengths: Any,
    ways: Ways,
    leak: Any,
    forward: Any,
    totals: Any,
) -> None:
    """Fills in the forward probabilities, scaled, and the logs of the sums.

    Args:
        exps: (T, S, B) exponents of scores, for which a constant of each frame was left out.
        lengths: (B,) frames of the chunks.
        ways: Of N histories, in the order of what arcs lead to.
        leak: Probability of moving anywhere, before a frame.
        forward: (T + 1, N, B) result: before a frame, after moving; they sum up to 1 + leak.
        totals: (B,) result: log of the sum over all paths, without the constants.
    """
    stays, stay_weights, initial, offsets, arcs, sources, states, weights = ways
    frames, _, batch = exps.shape
    histories = len(stays)
    scale, sums = np.empty(batch, exps.dtype), np.empty(batch, exps.dtype)
    for n in range(histories):
        for b in range(batch):
            forward[0, n, b] = initial[n]
    for t in range(frames + 1):
        sums[:] = 0
        for n in range(histories):
            for b in range(batch):
                sums[b] += forward[t, n, b]
        for b in range(batch):
            scale[b] = 1 / sums[b] if sums[b] > 0 else 0
            if t <= lengths[b]:
                totals[b] += np.log(sums[b])
        for n in range(histories):
            leaked = leak * initial[n]
            for b in range(batch):
                forward[t, n, b] = forward[t, n, b] * scale[b] + leaked
        if t == frames:
            break
        for n in range(histories):
            if stays[n] >= 0:
                weight, state = stay_weights[n], stays[n]
                for b in range(batch):
                    forward[t + 1, n, b] = weight * exps[t, state, b] * forward[t, n, b]
            else:
                for b in range(batch):
                    forward[t + 1, n, b] = 0
            for place in range(offsets[n], offsets[n + 1]):
                arc = arcs[place]
                weight, state, source = weights[arc], states[arc], sources[arc]
                for b in range(batch):
                    forward[t + 1, n, b] += weight * exps[t, state, b] * forward[t, source, b]


@compiled_sums
def backward_sums(  # noqa: C901 - compiled loops
    exps: Any,
    lengths: Any,
    ways: Ways,
    leak: Any,
    forward: Any,
    posteriors: Any,
) -> None:
    """Fills in the posterior probabilities of tied states.

    Args:
        exps: (T, S, B) as for the forward probabilities.
        lengths: (B,).
        ways: In the order of where arcs begin.
        leak: As for the forward probabilities.
        forward: (T + 1, N, B) as these were filled in.
        posteriors: (T, S, B) result; zeros are given.
    """
    stays, stay_weights, initial, offsets, arcs, targets, states, weights = ways
    frames, _, batch = exps.shape
    histories = len(stays)
    after, before = (
        np.ones((histories, batch), exps.dtype),
        np.empty((histories, batch), exps.dtype),
    )
    leaked, sums, scale = (
        np.empty(batch, exps.dtype),
        np.empty(batch, exps.dtype),
        np.empty(batch, exps.dtype),
    )
    for t in range(frames - 1, -1, -1):
        leaked[:] = 0
        sums[:] = 0
        for n in range(histories):
            for b in range(batch):
                before[n, b] = 0
            if stays[n] >= 0:
                weight, state = stay_weights[n], stays[n]
                for b in range(batch):
                    path = weight * exps[t, state, b] * after[n, b]
                    before[n, b] += path
                    posteriors[t, state, b] += path * forward[t, n, b]
            for place in range(offsets[n], offsets[n + 1]):
                arc = arcs[place]
                weight, state, target = weights[arc], states[arc], targets[arc]
                for b in range(batch):
                    path = weight * exps[t, state, b] * after[target, b]
                    before[n, b] += path
                    posteriors[t, state, b] += path * forward[t, n, b]
            for b in range(batch):
                leaked[b] += initial[n] * before[n, b]
                sums[b] += forward[t, n, b] * before[n, b]
        for b in range(batch):
            scale[b] = 1 / sums[b] if t < lengths[b] and sums[b] > 0 else 0
        for state in range(posteriors.shape[1]):
            for b in range(batch):
                posteriors[t, state, b] *= scale[b]
        # Scaled so that what is ahead stays near 1; after a chunk's end it is 1.
        for n in range(histories):
            for b in range(batch):
                ahead = (before[n, b] + leak * leaked[b]) * scale[b]
                after[n, b] = ahead if t < lengths[b] else 1
