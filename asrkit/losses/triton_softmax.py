"""Triton kernels for `softmax.py`: one program for each row of logits.

Forward, a row is read once, with a running maximum and a sum relative to it (an online log-sum),
and the few requested classes are read again while they are in the cache. Backward, a row is read
and overwritten once. The normalised (..., C) is never stored.

Source: Milakov and Gimelshein 2018, "Online normalizer calculation for softmax".
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

FORWARD_BLOCK, BACKWARD_BLOCK = 2048, 4096  # logits of a row at a time


def pick_log_probs(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Returns (Y, ...) log-probabilities of the targets and (...) log-sums, at least float32.

    Args:
        logits: (..., C).
        targets: (Y, ...) classes.
    """
    flat = logits.flatten(0, -2)
    flat = flat if flat.stride(1) == 1 else flat.contiguous()
    dtype = torch.promote_types(logits.dtype, torch.float32)
    picked = logits.new_empty(targets.shape, dtype=dtype)
    normaliser = logits.new_empty(logits.shape[:-1], dtype=dtype)
    rows, classes = flat.shape
    if not rows:
        return picked, normaliser
    block = min(triton.next_power_of_2(classes), FORWARD_BLOCK)
    with torch.cuda.device_of(logits):
        _picking_kernel[(rows,)](
            flat,
            targets.contiguous(),
            picked,
            normaliser,
            rows,
            flat.stride(0),
            CLASSES=classes,
            TARGETS=len(targets),
            BLOCK=block,
            num_warps=_warps(block),
        )
    return picked, normaliser


def put_gradient(
    logits: Tensor,
    normaliser: Tensor,
    weights: Tensor,
    targets: Tensor,
    floor: Tensor | None = None,
) -> None:
    """Overwrites logits by the gradient of the negative sum of weight times log-probability.

    Args:
        logits: (..., C), with a constant stride between rows, as after slicing off last classes.
        normaliser: (...) as from `pick_log_probs`.
        weights: (Y, ...) weight of each target, not negative.
        targets: (Y, ...) classes.
        floor: (...) weight that each of the C classes gets in addition, not negative; none if None.
    """
    flat = logits.flatten(0, -2)
    assert flat.data_ptr() == logits.data_ptr(), "a copy would take the gradient"
    rows, classes = flat.shape
    if not rows:
        return
    assert flat.stride(1) == 1
    block = min(triton.next_power_of_2(classes), BACKWARD_BLOCK)
    with torch.cuda.device_of(logits):
        _gradient_kernel[(rows, triton.cdiv(classes, block))](
            flat,
            targets.contiguous(),
            weights.contiguous(),
            normaliser.contiguous(),
            normaliser if floor is None else floor.contiguous(),  # not read where floor is None
            rows,
            flat.stride(0),
            CLASSES=classes,
            TARGETS=len(targets),
            FLOORED=floor is not None,
            BLOCK=block,
            num_warps=_warps(block),
        )


def _warps(block: int) -> int:
    """Returns the number of warps for eight logits per thread, but at most eight."""
    return min(max(block // 256, 1), 8)


@triton.jit(do_not_specialize=["rows"])
def _picking_kernel(
    logits: tl.tensor,
    targets: tl.tensor,
    picked: tl.tensor,
    normaliser: tl.tensor,
    rows: tl.tensor,
    stride: tl.tensor,
    CLASSES: tl.constexpr,
    TARGETS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Writes the log-sum of a row and the log-probabilities of its targets."""
    row = tl.program_id(0).to(tl.int64)
    start = logits + row * stride
    columns = tl.arange(0, BLOCK)
    dtype = normaliser.dtype.element_ty
    top = tl.full((), float("-inf"), dtype)
    sums = tl.zeros((BLOCK,), dtype)
    for first in range(0, CLASSES, BLOCK):
        valid = first + columns < CLASSES
        values = tl.load(start + first + columns, mask=valid, other=float("-inf")).to(dtype)
        higher = tl.maximum(top, tl.max(values, 0))
        base = tl.where(higher == float("-inf"), 0.0, higher)  # -inf - -inf would be NaN
        sums = sums * tl.exp(top - base) + tl.exp(values - base)
        top = higher
    log_total = tl.log(tl.sum(sums, 0))
    tl.store(normaliser + row, top + log_total)
    for which in tl.static_range(TARGETS):
        target = tl.load(targets + which * rows.to(tl.int64) + row)
        value = tl.load(start + target).to(dtype)
        tl.store(picked + which * rows.to(tl.int64) + row, (value - top) - log_total)


@triton.jit(do_not_specialize=["rows"])
def _gradient_kernel(
    logits: tl.tensor,
    targets: tl.tensor,
    weights: tl.tensor,
    normaliser: tl.tensor,
    floor: tl.tensor,
    rows: tl.tensor,
    stride: tl.tensor,
    CLASSES: tl.constexpr,
    TARGETS: tl.constexpr,
    FLOORED: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Overwrites a part of a row of logits by its gradient."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    valid = columns < CLASSES
    dtype = normaliser.dtype.element_ty
    place = logits + row * stride + columns
    total = tl.zeros((), dtype)
    taken = tl.zeros((BLOCK,), dtype)
    for which in tl.static_range(TARGETS):
        weight = tl.load(weights + which * rows.to(tl.int64) + row)
        target = tl.load(targets + which * rows.to(tl.int64) + row)
        total += weight
        taken += tl.where(columns == target, weight, 0.0)
    if FLOORED:
        least = tl.load(floor + row)
        total += CLASSES * least
        taken += least
    # log(0) gives a cell without weight an exact 0, whatever its logits.
    shift = tl.log(total) - tl.load(normaliser + row)
    values = tl.load(place, mask=valid, other=float("-inf")).to(dtype)
    gradient = tl.exp(values + shift) - taken
    tl.store(place, gradient, mask=valid)
