"""The sums of LF-MMI's denominator on a GPU: kernels of Triton, with the results of `mmi_sums.py`.

A launch goes through the arcs of a frame, for all histories and chunks of a batch at a time; what
is scaled in each frame is left to PyTorch. Posteriors of states are added up in no certain order,
so that their last digits differ from run to run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import triton
import triton.language as tl
from torch import Tensor

from asrkit.losses.mmi_graphs import Denominator, Ints
from asrkit.losses.mmi_sums import Pass

HISTORIES, CHUNKS, WARPS = 16, 64, 4
"""So many histories and chunks, at most, belong to a program."""


@dataclass(frozen=True)
class _Ways:
    """The denominator, with its A arcs in the order of one of their ends.

    Args:
        stays: (N,) tied states of frames that stay in a history; -1 where none can.
        stay_weights: (N,).
        offsets: (N + 1,) of the arcs.
        others: (A,) the histories at their other ends.
        states: (A,) their tied states.
        weights: (A,).
    """

    stays: Tensor
    stay_weights: Tensor
    offsets: Tensor
    others: Tensor
    states: Tensor
    weights: Tensor


def sums(
    exps: Tensor, lengths: Tensor, denominator: Denominator, leak: float
) -> tuple[Tensor, Tensor]:
    """Returns the logs of sums over all paths (B,), float64, and posteriors (T, S, B).

    Args:
        exps: (T, S, B) exponents of scores, for which a constant of each frame was left out.
        lengths: (B,) frames of the chunks.
        denominator: All that can be said, of N histories.
        leak: Probability of moving to any history before a frame.
    """
    initial = torch.from_numpy(denominator.initial).to(exps)[:, None]  # (N, 1)
    entering = _ways(denominator, denominator.by_target, denominator.sources, exps)
    leaving = _ways(denominator, denominator.by_source, denominator.targets, exps)
    forward, totals = _forward(exps, lengths, entering, initial, leak)
    return totals, _posteriors(exps, lengths, leaving, initial, leak, forward)


def dual_passes(exps: Tensor, denominator: Denominator) -> tuple[Pass, Pass]:
    """Returns what goes through a frame, as `dual_sums.pass_frame` does on the CPU.

    Args:
        exps: (T, S, B) tells type and device.
        denominator: All that can be said.

    Returns:
        From the sources of arcs, and from their targets.
    """
    entering = _ways(denominator, denominator.by_target, denominator.sources, exps)
    leaving = _ways(denominator, denominator.by_source, denominator.targets, exps)
    return partial(_pass_frame, entering), partial(_pass_frame, leaving)


def _pass_frame(
    ways: _Ways, exps: Tensor, values: Tensor, result: Tensor, forward: Tensor, posteriors: Tensor
) -> None:
    """Adds up the ways through a frame, and their derivatives: each factor's, one by one."""
    collects = forward.shape[1] > 0

    def launch(score: int, value: int, sums: Tensor, before: int, kept: int) -> None:
        given = (forward[before], posteriors[kept]) if collects else ()
        _launch(exps[score], values[value], sums, ways, *given)

    other = torch.empty_like(result[1])
    launch(0, 0, result[0], 0, 0)
    launch(1, 0, result[1], 0, 1)
    launch(0, 1, other, 0, 1)
    result[1] += other
    if collects:
        launch(0, 0, other, 1, 1)


def _forward(
    exps: Tensor, lengths: Tensor, ways: _Ways, initial: Tensor, leak: float
) -> tuple[Tensor, Tensor]:
    """Returns forward probabilities (T + 1, N, B), scaled, and logs of sums (B,)."""
    frames, _, batch = exps.shape
    forward = exps.new_empty(frames + 1, len(initial), batch)
    totals = torch.zeros(batch, dtype=torch.float64, device=exps.device)
    current = initial.expand(-1, batch).contiguous()  # (N, B)
    for t in range(frames + 1):
        total = current.sum(0)  # (B,)
        totals += torch.where(t <= lengths, total.log(), 0.0).double()
        forward[t] = current * _inverse(total) + leak * initial
        if t < frames:
            current = torch.empty_like(current)
            _launch(exps[t], forward[t], current, ways)
    return forward, totals


def _posteriors(
    exps: Tensor, lengths: Tensor, ways: _Ways, initial: Tensor, leak: float, forward: Tensor
) -> Tensor:
    """Returns the posterior probabilities of tied states (T, S, B)."""
    posteriors = torch.zeros_like(exps)
    after = torch.ones_like(forward[0])  # (N, B)
    for t in range(len(exps) - 1, -1, -1):
        before, valid = torch.empty_like(after), t < lengths
        _launch(exps[t], after, before, ways, forward[t], posteriors[t])
        scale = torch.where(valid, _inverse((forward[t] * before).sum(0)), 0.0)  # (B,)
        posteriors[t] *= scale
        # Scaled so that what is ahead stays near 1; after a chunk's end it is 1.
        leaked = leak * (initial * before).sum(0)
        after = torch.where(valid, (before + leaked) * scale, 1.0).to(before)
    return posteriors


def _inverse(totals: Tensor) -> Tensor:
    return torch.where(totals > 0, 1 / totals, 0.0).to(totals)


def _ways(given: Denominator, grouped: tuple[Ints, Ints], others: Ints, like: Tensor) -> _Ways:
    offsets, order = grouped

    def moved(values: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(like.device)

    return _Ways(
        moved(given.stays),
        moved(given.stay_weights).to(like),
        moved(offsets),
        moved(others[order]),
        moved(given.states[order]),
        moved(given.weights[order]).to(like),
    )


def _launch(
    exps: Tensor,
    values: Tensor,
    result: Tensor,
    ways: _Ways,
    forward: Tensor | None = None,
    posteriors: Tensor | None = None,
) -> None:
    """Goes through a frame: (S, B) exponents, (N, B) values before it, (N, B) result."""
    size, batch = values.shape
    block = min(triton.next_power_of_2(batch), CHUNKS)
    with torch.cuda.device_of(exps):
        _frame_kernel[(triton.cdiv(size, HISTORIES), triton.cdiv(batch, block))](
            exps,
            values,
            result,
            values if forward is None else forward,
            result if posteriors is None else posteriors,
            ways.stays,
            ways.stay_weights,
            ways.offsets,
            ways.others,
            ways.states,
            ways.weights,
            size,
            batch,
            POSTERIORS=posteriors is not None,
            BLOCK_N=HISTORIES,
            BLOCK_B=block,
            num_warps=WARPS,
        )


@triton.jit(do_not_specialize=["size", "batch"])
def _frame_kernel(
    exps: tl.tensor,
    values: tl.tensor,
    result: tl.tensor,
    forward: tl.tensor,
    posteriors: tl.tensor,
    stays: tl.tensor,
    stay_weights: tl.tensor,
    offsets: tl.tensor,
    others: tl.tensor,
    states: tl.tensor,
    weights: tl.tensor,
    size: tl.tensor,
    batch: tl.tensor,
    POSTERIORS: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_B: tl.constexpr,
) -> None:
    """Adds up the ways through a frame of some histories and chunks."""
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    b = tl.program_id(1) * BLOCK_B + tl.arange(0, BLOCK_B)
    inside, columns = n < size, (b < batch)[None, :]
    here = n[:, None] * batch + b[None, :]
    before = tl.load(forward + here, mask=inside[:, None] & columns, other=0.0)
    state = tl.load(stays + n, mask=inside, other=-1)
    known = (state >= 0)[:, None] & columns
    weight = tl.load(stay_weights + n, mask=inside, other=0.0)
    at = state[:, None] * batch + b[None, :]
    path = weight[:, None] * tl.load(exps + at, mask=known, other=0.0)
    path *= tl.load(values + here, mask=known, other=0.0)
    total = path
    if POSTERIORS:
        tl.atomic_add(posteriors + at, path * before, mask=known)
    place = tl.load(offsets + n, mask=inside, other=0)
    end = tl.load(offsets + n + 1, mask=inside, other=0)
    left = tl.max(end - place, 0)
    while left > 0:
        has = place < end
        known = has[:, None] & columns
        state = tl.load(states + place, mask=has, other=0)
        other = tl.load(others + place, mask=has, other=0)
        weight = tl.load(weights + place, mask=has, other=0.0)
        at = state[:, None] * batch + b[None, :]
        path = weight[:, None] * tl.load(exps + at, mask=known, other=0.0)
        path *= tl.load(values + other[:, None] * batch + b[None, :], mask=known, other=0.0)
        total += path
        if POSTERIORS:
            tl.atomic_add(posteriors + at, path * before, mask=known)
        place += 1
        left -= 1
    tl.store(result + here, total, mask=inside[:, None] & columns)
