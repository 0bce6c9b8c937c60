"""Sums over all that can be said, each with its derivative where accurate paths grow heavier.

They are those of LF-MMI's denominator (`mmi_sums.py`). When the weight of each path is multiplied
by exp(x times its accuracy), the log of the sum grows, at x = 0, by the expected accuracy; and the
posterior probability p of a tied state in a frame by p (A(state, frame) - A): the expected accuracy
of the paths through it, less that of all, which is the gradient of sMBR. Arrays of two entries hold
sums and these derivatives.

Source: Povey 2003, "Discriminative training for large vocabulary speech recognition" (accuracies of
arcs on average, here as derivatives); Kanda et al. 2018, "Lattice-free state-level minimum Bayes
risk training of acoustic models".
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from asrkit.acceleration import triton_serves
from asrkit.compiled import compiled_sums
from asrkit.losses.mmi_graphs import Denominator
from asrkit.losses.mmi_sums import Pass, Ways


class DualSums(NamedTuple):
    """Sums and their derivatives.

    Args:
        totals: (B,) float64, logs of sums over all paths.
        accuracies: (B,) float64, the expected accuracies.
        posteriors: (2, T, S, B) posterior probabilities of tied states, and their derivatives.
    """

    totals: Tensor
    accuracies: Tensor
    posteriors: Tensor


def dual_sums(
    exps: Tensor, accuracy: Tensor, lengths: Tensor, denominator: Denominator, leak: float
) -> DualSums:
    """Returns the sums over all paths, whose accuracy is the sum of that of their frames.

    Args:
        exps: (T, S, B) exponents of scores, for which a constant of each frame was left out.
        accuracy: (T, S, B) of a tied state in a frame.
        lengths: (B,) frames of the chunks.
        denominator: All that can be said, of N histories.
        leak: Probability of moving to any history before a frame.
    """
    home = exps.device
    if not triton_serves(exps):  # compiled loops are of the CPU
        exps, accuracy, lengths = exps.cpu(), accuracy.cpu(), lengths.cpu()
    entering, leaving = _passes(exps, denominator)
    initial = torch.from_numpy(denominator.initial).to(exps)[:, None]  # (N, 1)
    both = torch.stack([exps, exps * accuracy], dim=1)  # (T, 2, S, B)
    forward, totals, accuracies = _forward(both, lengths, entering, initial, leak)
    posteriors = _posteriors(both, lengths, leaving, initial, leak, forward)
    return DualSums(totals.to(home), accuracies.to(home), posteriors.transpose(0, 1).to(home))


def _forward(
    exps: Tensor, lengths: Tensor, enter: Pass, initial: Tensor, leak: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns forward sums (T + 1, 2, N, B), scaled, logs of sums (B,), and accuracies (B,)."""
    frames, _, _, batch = exps.shape
    forward = exps.new_empty(frames + 1, 2, len(initial), batch)
    totals, accuracies = exps.new_zeros(2, batch, dtype=torch.float64)
    nothing = exps.new_empty(2, 0, batch)
    current = torch.stack([initial.expand(-1, batch), torch.zeros_like(forward[0, 0])])  # (2, N, B)
    for t in range(frames + 1):
        total, change = current.sum(1)  # (B,) each
        inverse = _inverse(total)
        totals += torch.where(t <= lengths, total.log(), 0.0).double()
        accuracies += torch.where(t <= lengths, change * inverse, 0.0).double()
        forward[t, 0] = current[0] * inverse
        forward[t, 1] = (current[1] - forward[t, 0] * change) * inverse
        forward[t, 0] += leak * initial  # of 1, whatever is accurate
        if t < frames:
            current = torch.empty_like(current)
            enter(exps[t], forward[t], current, nothing, nothing)
    return forward, totals, accuracies


def _posteriors(
    exps: Tensor, lengths: Tensor, leave: Pass, initial: Tensor, leak: float, forward: Tensor
) -> Tensor:
    """Returns the posterior probabilities of tied states (T, 2, S, B) and their derivatives."""
    posteriors = torch.zeros_like(exps)
    after = torch.stack([torch.ones_like(forward[0, 0]), torch.zeros_like(forward[0, 0])])
    end = after.clone()  # (2, N, B)
    for t in range(len(exps) - 1, -1, -1):
        before, valid = torch.empty_like(after), t < lengths
        leave(exps[t], after, before, forward[t], posteriors[t])
        total = (forward[t, 0] * before[0]).sum(0)  # (B,)
        change = (forward[t, 0] * before[1] + forward[t, 1] * before[0]).sum(0)
        inverse = torch.where(valid, _inverse(total), 0.0)
        before += leak * (initial * before).sum(1, keepdim=True)
        # Scaled so that what is ahead stays near 1, and its derivative near 0.
        for values in (posteriors[t], before):
            values[0] *= inverse
            values[1] = values[1] * inverse - values[0] * (change * inverse)
        after = torch.where(valid, before, end)
    return posteriors


def _inverse(totals: Tensor) -> Tensor:
    return torch.where(totals > 0, 1 / totals, 0.0).to(totals)


def _passes(exps: Tensor, denominator: Denominator) -> tuple[Pass, Pass]:
    """Returns what goes through a frame from the sources of arcs, and from their targets."""
    if triton_serves(exps):
        from asrkit.losses import triton_mmi

        return triton_mmi.dual_passes(exps, denominator)
    kind, graph = exps.numpy().dtype, denominator
    start = graph.stays, graph.stay_weights.astype(kind), graph.initial
    end = graph.states, graph.weights.astype(kind)
    entering = Ways(*start, *graph.by_target, graph.sources, *end)
    leaving = Ways(*start, *graph.by_source, graph.targets, *end)

    def passes(ways: Ways) -> Pass:
        return lambda *arrays: pass_frame(ways, *(array.numpy() for array in arrays))

    return passes(entering), passes(leaving)


@compiled_sums
def pass_frame(  # noqa: C901 - compiled loops
    ways: Ways, exps: Any, values: Any, result: Any, forward: Any, posteriors: Any
) -> None:
    """Adds up the ways through a frame.

    Args:
        ways: Of N histories, from which arcs lead or to which they do.
        exps: (2, S, B) exponents of scores, and these times accuracies.
        values: (2, N, B) sums at the other side, and their derivatives.
        result: (2, N, B) what is there at this side.
        forward: (2, N, B) forward sums before the frame; of no histories where there are no
            posteriors.
        posteriors: (2, S, B) to which those of tied states are added, and their derivatives.
    """
    stays, stay_weights, _, offsets, arcs, others, states, weights = ways
    batch, collects = exps.shape[2], forward.shape[1] > 0
    path, change = np.empty(batch, exps.dtype), np.empty(batch, exps.dtype)
    for n in range(len(stays)):
        for b in range(batch):
            result[0, n, b] = 0
            result[1, n, b] = 0
        # Staying comes before the arcs.
        for place in range(offsets[n] - 1, offsets[n + 1]):
            if place < offsets[n]:
                weight, state, other = stay_weights[n], stays[n], n
            else:
                weight, state, other = (
                    weights[arcs[place]],
                    states[arcs[place]],
                    others[arcs[place]],
                )
            if state < 0:
                continue
            for b in range(batch):
                score, value = weight * exps[0, state, b], values[0, other, b]
                path[b] = score * value
                change[b] = score * values[1, other, b] + weight * exps[1, state, b] * value
                result[0, n, b] += path[b]
                result[1, n, b] += change[b]
            if collects:
                for b in range(batch):
                    posteriors[0, state, b] += path[b] * forward[0, n, b]
                    posteriors[1, state, b] += (
                        change[b] * forward[0, n, b] + path[b] * forward[1, n, b]
                    )
