"""The recursions over a lattice as one kernel of Triton, with the results of `recursions.py`.

In PyTorch each step is several launches, some milliseconds for a few hundred steps. Here a program
runs through all steps of an utterance in one direction, so that all utterances and both directions
proceed at a time, and keeps the states of the current step in its registers.

The sums are in float64. Only what is added to the largest arc, log(1 + exp(difference)), is made
from differences in float32: its error of 1e-7 does not grow with the sum as that of float32 would.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from asrkit.lattice.lattice import INFINITY, Lattice


def forward_scores(lattice: Lattice) -> Tensor:
    """Returns (N + 1, B, S) as `recursions.forward_scores`; rows beyond the steps are -inf."""
    return _recursions(lattice, directions=1)[0, ..., : lattice.arcs.shape[3]]


def both_scores(lattice: Lattice) -> tuple[Tensor, Tensor]:
    """Returns what `forward_scores` and `lattice.backward_scores` do, from one launch."""
    alpha, beta = _recursions(lattice, directions=2)
    return alpha[..., : lattice.arcs.shape[3]], beta


def _recursions(lattice: Lattice, directions: int) -> Tensor:
    """Returns (directions, N + 1, B, A - 1 + S): the sums from the start, and those to the end."""
    arcs = lattice.arcs.contiguous()
    kinds, steps, batch, states = arcs.shape
    assert arcs.dtype == torch.float64
    assert kinds in (2, 3), "the kernel knows arcs that raise the state by up to two"
    shape = (directions, steps + 1, batch, kinds - 1 + states)
    scores = arcs.new_full(shape, -INFINITY)
    block = triton.next_power_of_2(states)
    with torch.cuda.device_of(arcs):
        _recursion_kernel[(batch, directions)](
            arcs,
            lattice.steps.contiguous(),
            lattice.final.contiguous(),
            scores,
            steps,
            batch,
            states,
            KINDS=kinds,
            BLOCK=block,
            num_warps=min(max(block // 64, 1), 16),
        )
    return scores


@triton.jit(do_not_specialize=["most_steps", "batch", "size"])
def _recursion_kernel(
    arcs: tl.tensor,
    steps: tl.tensor,
    final: tl.tensor,
    scores: tl.tensor,
    most_steps: tl.tensor,
    batch: tl.tensor,
    size: tl.tensor,
    KINDS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Sums over the paths of an utterance, from the start (direction 0) or from the end (1)."""
    utterance = tl.program_id(0).to(tl.int64)
    backward = tl.program_id(1)
    last = tl.load(steps + utterance).to(tl.int32)
    states = tl.arange(0, BLOCK)
    inside = states < size
    ends = tl.load(final + utterance * size + states, mask=inside, other=0) != 0
    begins = tl.where(backward == 1, ends, states == 0)
    current = tl.where(begins, 0.0, float("-inf")).to(tl.float64)

    # Forward, state s comes from s - kind of the row before; backward, from s + kind of the next.
    sign = 2 * backward - 1
    arc_row = batch.to(tl.int64) * size
    arc = arcs + utterance * size + backward * (last - 1) * arc_row
    score_row = batch.to(tl.int64) * (size + KINDS - 1)
    score = scores + utterance * (size + KINDS - 1) + states
    score += backward * (most_steps + 1 + last) * score_row
    tl.store(score, current, mask=inside)
    kind = most_steps * arc_row
    # The arcs of the next step are on their way while this one is summed.
    stay, one, two = _arcs(arc, kind, states, backward, size, last > 0, KINDS)
    step = tl.zeros((), tl.int32)
    while step < last:  # the interpreter takes no range of a tensor from numpy 2.4 on
        step += 1
        arc -= sign * arc_row
        more = step < last
        next_stay, next_one, next_two = _arcs(arc, kind, states, backward, size, more, KINDS)
        stay += current
        one += _moved(current, states + sign, size, BLOCK)
        if KINDS == 3:
            two += _moved(current, states + 2 * sign, size, BLOCK)
        current = _log_sum(stay, one, two, KINDS)
        score -= sign * score_row
        tl.store(score, current, mask=inside)
        stay, one, two = next_stay, next_one, next_two


@triton.jit
def _arcs(
    arc: tl.tensor,
    kind: tl.tensor,
    states: tl.tensor,
    backward: tl.tensor,
    size: tl.tensor,
    present: tl.tensor,
    KINDS: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """Returns the arcs of a step that enter (forward) or leave (backward) the states."""
    forward = 1 - backward
    below, far_below = states - forward, states - 2 * forward
    nothing = float("-inf")
    stay = tl.load(arc + states, mask=present & (states < size), other=nothing)
    valid = present & (below >= 0) & (below < size)
    one = tl.load(arc + kind + below, mask=valid, other=nothing)
    two = one
    if KINDS == 3:
        valid = present & (far_below >= 0) & (far_below < size)
        two = tl.load(arc + 2 * kind + far_below, mask=valid, other=nothing)
    return stay, one, two


@triton.jit
def _moved(
    current: tl.tensor, sources: tl.tensor, size: tl.tensor, BLOCK: tl.constexpr
) -> tl.tensor:
    """Returns the sums of the states that are the sources, -inf where these don't exist."""
    values = tl.gather(current, sources & (BLOCK - 1), 0)
    return tl.where((sources >= 0) & (sources < size), values, float("-inf"))


@triton.jit
def _log_sum(one: tl.tensor, two: tl.tensor, three: tl.tensor, KINDS: tl.constexpr) -> tl.tensor:
    """Returns log(exp(one) + exp(two)) or, of three KINDS, the same with three."""
    top = tl.maximum(one, two)
    if KINDS == 3:
        top = tl.maximum(top, three)
    base = tl.where(top == float("-inf"), 0.0, top)  # -inf - -inf would be NaN
    total = tl.exp((one - base).to(tl.float32)) + tl.exp((two - base).to(tl.float32))
    if KINDS == 3:
        total += tl.exp((three - base).to(tl.float32))
    return base + tl.log(total).to(tl.float64)
