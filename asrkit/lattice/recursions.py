"""Sums and maxima over all paths of a lattice, whatever its arcs mean.

A path starts in state 0, takes one arc a step and ends, after as many steps as its utterance has,
in a final state. An arc keeps the state or raises it by one or two. RNN-T, RNA and CTC are
such lattices (`topologies.py`). A step is one operation over all states and utterances; for RNN-T
it is an anti-diagonal of the grid. Everything here is in float64: a lattice is small compared with
the logits it comes from, and sums of thousands of log-probabilities keep few digits in float32. On
a GPU a kernel of Triton goes through the steps (`triton_recursions.py`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.acceleration import triton_serves
from asrkit.lattice.lattice import INFINITY, Lattice


def forward_scores(lattice: Lattice) -> Tensor:
    """Returns (N + 1, B, S) log-sums over the paths from the start to each state after n steps.

    Source: Rabiner 1989, equations 19 and 20.
    """
    if triton_serves(lattice.arcs):
        from asrkit.lattice import triton_recursions

        return triton_recursions.forward_scores(lattice)
    arcs = _entering(lattice.arcs)
    kinds, steps, batch, states = arcs.shape
    alpha = arcs.new_full((steps + 1, batch, kinds - 1 + states), -INFINITY)
    alpha[0, :, kinds - 1] = 0.0
    for step in range(steps):
        total = alpha[step, :, kinds - 1 :] + arcs[0, step]
        for kind in range(1, kinds):
            before = alpha[step, :, kinds - 1 - kind : kinds - 1 - kind + states]
            total = torch.logaddexp(total, before + arcs[kind, step])
        alpha[step + 1, :, kinds - 1 :] = total
    return alpha[:, :, kinds - 1 :]


def backward_scores(lattice: Lattice) -> Tensor:
    """Returns (N + 1, B, A - 1 + S) log-sums over the paths from each state to the end.

    Row n is before step n. The last A - 1 states are in no lattice; they spare callers the border.

    Source: Rabiner 1989, equations 24 and 25.
    """
    arcs = lattice.arcs
    kinds, steps, batch, states = arcs.shape
    beta = arcs.new_full((steps + 1, batch, kinds - 1 + states), -INFINITY)
    ending = arcs.new_zeros(batch, states).masked_fill_(~lattice.final, -INFINITY)
    ends = set(lattice.steps.tolist())
    for step in range(steps, -1, -1):
        total = beta[step, :, :states]
        if step < steps:
            total = arcs[0, step] + beta[step + 1, :, :states]
            for kind in range(1, kinds):
                after = beta[step + 1, :, kind : kind + states]
                total = torch.logaddexp(total, arcs[kind, step] + after)
        if step in ends:
            total = torch.where((lattice.steps == step)[:, None], ending, total)
        beta[step, :, :states] = total
    return beta


def both_scores(lattice: Lattice) -> tuple[Tensor, Tensor]:
    """Returns what `forward_scores` and `backward_scores` do, on a GPU in one go."""
    if triton_serves(lattice.arcs):
        from asrkit.lattice import triton_recursions

        return triton_recursions.both_scores(lattice)
    return forward_scores(lattice), backward_scores(lattice)


def log_likelihoods(lattice: Lattice, alpha: Tensor) -> Tensor:
    """Returns (B,) the log-sum over all paths, -inf where there is none; alpha (N + 1, B, S)."""
    last = alpha[lattice.steps, torch.arange(alpha.shape[1], device=alpha.device)]
    return last.masked_fill(~lattice.final, -INFINITY).logsumexp(1)


def posteriors(lattice: Lattice) -> tuple[Tensor, Tensor]:
    """Returns how probable the batch is, and each arc once that is given.

    Args:
        lattice: The arcs.

    Returns:
        (B,) log-likelihoods and (A, N, B, S) probabilities that a path takes the arc, which are the
        derivatives of the log-likelihoods; all 0 where an utterance has no path.

    Source: Rabiner 1989, equation 37.
    """
    alpha, beta = both_scores(lattice)
    totals = log_likelihoods(lattice, alpha)
    kinds, states = len(lattice.arcs), alpha.shape[2]
    # Without a path the sums below are -inf already; -inf - -inf would make them NaN.
    outside = alpha[:-1] - totals.masked_fill(totals == -INFINITY, 0.0)[:, None]
    found = torch.empty_like(lattice.arcs)
    for kind in range(kinds):
        torch.add(outside, beta[1:, :, kind : kind + states], out=found[kind])
    return totals, found.add_(lattice.arcs).exp_()


def best_paths(lattice: Lattice) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the most probable path of each utterance.

    Args:
        lattice: The arcs.

    Returns:
        (B,) log-probabilities, -inf without a path; (B, N) the kind of arc (0 to A - 1) taken in
        each step and (B, N) the state that it leaves, both -1 beyond the path and without one.

    Source: Rabiner 1989, equations 32 to 35.
    """
    arcs = _entering(lattice.arcs)
    kinds, steps, batch, states = arcs.shape
    best = arcs.new_full((steps + 1, batch, states), -INFINITY)
    best[0, :, 0] = 0.0
    pointers = torch.empty(steps, batch, states, dtype=torch.int64, device=arcs.device)
    for step in range(steps):
        before = F.pad(best[step], (kinds - 1, 0), value=-INFINITY)
        sources = [before[:, kinds - 1 - kind :][:, :states] for kind in range(kinds)]
        best[step + 1], pointers[step] = (torch.stack(sources) + arcs[:, step]).max(0)
    utterances = torch.arange(batch, device=arcs.device)
    last = best[lattice.steps, utterances].masked_fill(~lattice.final, -INFINITY)
    scores, state = last.max(1)
    path = pointers.new_full((2, steps, batch), -1)
    for step in range(steps - 1, -1, -1):
        active = (step < lattice.steps) & (scores > -INFINITY)
        kind = pointers[step, utterances, state]
        state = torch.where(active, state - kind, state)
        path[:, step] = torch.stack([kind, state]).masked_fill(~active, -1)
    return scores, path[0].T, path[1].T


def _entering(arcs: Tensor) -> Tensor:
    """Returns (A, N, B, S) arcs by the state they enter, not by the one they leave."""
    moved = [arcs[0]]
    for kind in range(1, len(arcs)):
        moved.append(F.pad(arcs[kind], (kind, 0), value=-INFINITY)[..., : arcs.shape[3]])
    return torch.stack(moved)
