"""The full-sum loss of a transducer from the inputs of its joiner, a few logits at a time.

All logits of a batch, (B, T, U + 1, V + 1), are by far its largest tensor, and most cells (t, u)
are padding or far from any likely alignment. So the joiner is applied to blocks of cells. A first
pass keeps the scores of the few symbols that the lattice needs. With the occupations from the
lattice, the backward pass computes the logits again, only where occupations are not negligible, and
turns them into gradients by matrix products: the gradient of a logit is the occupation of its cell
times its softmax, minus the occupation of its own symbol.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrkit.acceleration import triton_serves
from asrkit.lattice.cells import cell_targets, occupations
from asrkit.lattice.lattice import INFINITY
from asrkit.lattice.topologies import Topology
from asrkit.lattice.viterbi import Alignment, best_alignment
from asrkit.losses.blocks import Block, blocks, occupied_band
from asrkit.losses.full_sum import full_sum_loss
from asrkit.losses.joiner import Joiner, JoinerGradients, JoinerTensors


def joiner_loss(
    encoder: Tensor,
    prediction: Tensor,
    joiner: Joiner,
    labels: Tensor,
    lengths: Tensor,
    label_lengths: Tensor,
    topology: Topology,
) -> Tensor:
    """Returns -log p(labels | frames) of each utterance, summed over all alignments.

    Matrix products are in the dtype of autocast, otherwise in that of encoder and prediction; the
    softmax and the gradients of weights are summed in at least float32, the lattice in float64.

    Args:
        encoder: (B, T, J) projected frames.
        prediction: (B, U + 1, J) projected states after 0 to U labels.
        joiner: What is applied to their sum.
        labels: (B, U).
        lengths: (B,) valid frames.
        label_lengths: (B,).
        topology: Which alignments there are.

    Returns:
        (B,) losses; infinite, with a zero gradient, where the labels do not fit into the frames,
        which is where `topology.min_frames` exceeds the lengths.

    Source: Graves 2012, equations 16 to 20; Li et al. 2019, "Improving RNN transducer modeling for
        end-to-end speech recognition" (loss and softmax combined in the gradient).
    """
    given = (labels, lengths, label_lengths, topology)
    if not torch.is_grad_enabled():
        scores, _ = _scores(JoinerTensors.of(encoder, prediction, joiner), *given)
        return full_sum_loss(scores, *given)
    tensors = (encoder, prediction, joiner.weight, joiner.bias)
    losses: Tensor = _JoinerLoss.apply(*tensors, joiner, *given)  # type: ignore[no-untyped-call]
    return losses


def joiner_alignment(
    encoder: Tensor,
    prediction: Tensor,
    joiner: Joiner,
    labels: Tensor,
    lengths: Tensor,
    label_lengths: Tensor,
    topology: Topology,
) -> Alignment:
    """Returns the Viterbi alignment for the same arguments; blank is V."""
    with torch.no_grad():
        blank = len(joiner.weight) - 1
        given = (labels, lengths, label_lengths, topology)
        scores, _ = _scores(JoinerTensors.of(encoder, prediction, joiner), *given)
        return best_alignment(scores, *given, blank=blank)


def _sums(inputs: JoinerTensors, block: Block) -> Tensor:
    """Returns (C, W, J) for the cells of a block."""
    return block.frames_of(inputs.encoder)[:, None] + block.counts_of(inputs.prediction)


def _logits(inputs: JoinerTensors, hidden: Tensor) -> Tensor:
    """Returns (C, W, V + 1) from hidden (C, W, J'), ready for the joiner's distribution."""
    logits = inputs.products(hidden)
    # Triton's kernels convert each value to float32 when they read it.
    return logits if triton_serves(logits) else logits.to(inputs.exact_dtype)


@torch.no_grad()
def _scores(
    inputs: JoinerTensors,
    labels: Tensor,
    lengths: Tensor,
    label_lengths: Tensor,
    topology: Topology,
) -> tuple[Tensor, Tensor]:
    """Returns (Y, B, T, U + 1) scores, -inf where no path passes, and the normalisers."""
    shape = (*inputs.encoder.shape[:2], inputs.prediction.shape[1])
    normaliser = inputs.encoder.new_zeros(shape, dtype=inputs.exact_dtype)  # (B, T, U + 1)
    scores = normaliser.new_full((topology.symbols, *shape), -INFINITY)  # (Y, B, T, U + 1)
    targets = cell_targets(labels, label_lengths, topology)  # (Y - 1, B, U + 1)
    band = topology.band(shape[1], lengths, label_lengths)
    with torch.autocast(inputs.encoder.device.type, enabled=False):
        for block in blocks(*band, inputs.cells_at_a_time):
            logits = _logits(inputs, inputs.joiner.activation(_sums(inputs, block)))
            found = inputs.joiner.distribution.scores(logits, block.targets_of(targets))
            block.of(scores).copy_(found[0])
            block.of(normaliser).copy_(found[1])
    return scores, normaliser


def _add_gradient(
    to: JoinerGradients,
    inputs: JoinerTensors,
    block: Block,
    of_logits: Callable[[Tensor], Tensor],
    factor: float,
) -> None:
    """Adds the gradient of a block, scaled; `of_logits` turns logits into their gradient."""
    with torch.enable_grad():
        sums = _sums(inputs, block).requires_grad_()  # (C, W, J)
        hidden = inputs.joiner.activation(sums)  # (C, W, J')
    outputs = of_logits(_logits(inputs, hidden.detach()))  # (C, W, V + 1)
    upstream = to.add_output(inputs, hidden.detach(), outputs, factor)  # (C, W, J')
    (inner,) = torch.autograd.grad(hidden, sums, upstream)  # (C, W, J)
    dtype = to.encoder.dtype
    block.frames_of(to.encoder).add_(inner.sum(1, dtype=dtype), alpha=factor)
    block.counts_of(to.prediction).add_(inner.sum(0, dtype=dtype), alpha=factor)


class _JoinerLoss(torch.autograd.Function):
    """The loss; its backward pass computes the logits of occupied cells again."""

    @staticmethod
    def forward(
        ctx: Any,
        encoder: Tensor,
        prediction: Tensor,
        weight: Tensor,
        bias: Tensor,
        joiner: Joiner,
        labels: Tensor,
        lengths: Tensor,
        label_lengths: Tensor,
        topology: Topology,
    ) -> Tensor:
        """Returns (B,) losses."""
        inputs = JoinerTensors.of(encoder, prediction, joiner)
        given = (labels, lengths, label_lengths, topology)
        scores, normaliser = _scores(inputs, *given)
        losses, occupation = occupations(scores, *given)
        targets = cell_targets(labels, label_lengths, topology)
        ctx.save_for_backward(encoder, prediction, weight, bias, normaliser, occupation, targets)
        ctx.joiner, ctx.dtype = joiner, inputs.encoder.dtype
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients of encoder, prediction, weight and bias."""
        *tensors, normaliser, occupation, targets = ctx.saved_tensors
        encoder, prediction, weight, bias = tensors
        joiner = replace(ctx.joiner, weight=weight, bias=bias)
        inputs = JoinerTensors.of(encoder, prediction, joiner, ctx.dtype)
        sums = JoinerGradients.zeros(tensors, inputs.exact_dtype)
        factors = gradients[0].tolist()
        with torch.autocast(encoder.device.type, enabled=False):
            for block in blocks(*occupied_band(occupation), inputs.cells_at_a_time):
                of_logits = partial(
                    joiner.distribution.gradient,
                    normaliser=block.of(normaliser),
                    occupation=block.of(occupation),
                    targets=block.targets_of(targets),
                )
                _add_gradient(sums, inputs, block, of_logits, factors[block.utterance])
        return (*sums.like(tensors), None, None, None, None, None)
