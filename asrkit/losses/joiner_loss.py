"""The full-sum loss of a transducer from the inputs of its joiner, a few logits at a time.

All logits of a batch, (B, T, U + 1, V + 1), are by far its largest tensor, and most cells (t, u)
are padding or far from any likely alignment. So the joiner is applied to blocks of cells. A first
pass keeps the scores of the few symbols that the lattice needs. With the occupations from the
lattice, the backward pass computes the logits again, only where occupations are not negligible, and
turns them into gradients by matrix products: the gradient of a logit is the occupation of its cell
times its softmax, minus the occupation of its own symbol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
from asrkit.losses.symbols import SoftmaxBlank, SymbolDistribution

# Logits held at a time. On a CPU, 2^18 fit into the cache; a GPU needs many to be busy.
MAX_LOGITS = {"cpu": 2**18, "cuda": 2**26}


@dataclass(frozen=True)
class Joiner:
    """The last layers of a transducer: a linear layer of activation(encoder + prediction).

    Args:
        weight: (V + 1, H) of the output layer, blank last.
        bias: (V + 1,) of the output layer.
        distribution: What the V + 1 outputs mean.
        activation: (..., J) -> (..., H); without parameters and chance, for it runs twice.
        max_logits: How many logits are held at a time, but at least those of a frame; depends on
            the device where None.
    """

    weight: Tensor
    bias: Tensor
    distribution: SymbolDistribution = SoftmaxBlank()
    activation: Callable[[Tensor], Tensor] = torch.tanh
    max_logits: int | None = None


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
        scores, _ = _Inputs.of(encoder, prediction, joiner).scores(*given)
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
        scores, _ = _Inputs.of(encoder, prediction, joiner).scores(*given)
        return best_alignment(scores, *given, blank=blank)


@dataclass(frozen=True)
class _Inputs:
    """The joiner's tensors in the dtype of the matrix products."""

    joiner: Joiner
    encoder: Tensor
    prediction: Tensor
    weight: Tensor
    bias: Tensor

    @classmethod
    def of(
        cls, encoder: Tensor, prediction: Tensor, joiner: Joiner, dtype: torch.dtype | None = None
    ) -> _Inputs:
        """Returns the inputs in this dtype, or in the one that autocast or the tensors ask for."""
        device = encoder.device.type
        if dtype is None and torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        dtype = dtype or torch.promote_types(encoder.dtype, prediction.dtype)
        tensors = (encoder, prediction, joiner.weight, joiner.bias)
        return cls(joiner, *(each.detach().to(dtype) for each in tensors))

    @property
    def exact_dtype(self) -> torch.dtype:
        """Returns the dtype of scores and sums: float32 at least."""
        return torch.promote_types(self.encoder.dtype, torch.float32)

    def blocks(self, low: Tensor, high: Tensor) -> Iterator[Block]:
        """Yields the blocks of the cells from low to high, both (B, T)."""
        limit = self.joiner.max_logits or MAX_LOGITS.get(self.encoder.device.type, 2**22)
        return blocks(low, high, limit // len(self.weight))

    def sums(self, block: Block) -> Tensor:
        """Returns (C, W, J)."""
        return block.frames_of(self.encoder)[:, None] + block.counts_of(self.prediction)

    def logits(self, hidden: Tensor) -> Tensor:
        """Returns (C, W, V + 1) from hidden (C, W, H), ready for the joiner's distribution."""
        logits = torch.addmm(self.bias, hidden.flatten(0, 1), self.weight.T)
        if not triton_serves(logits):  # its kernels convert each value to float32 when they read it
            logits = logits.to(self.exact_dtype)
        return logits.view(*hidden.shape[:2], -1)

    @torch.no_grad()
    def scores(
        self, labels: Tensor, lengths: Tensor, label_lengths: Tensor, topology: Topology
    ) -> tuple[Tensor, Tensor]:
        """Returns (K, B, T, U + 1) scores, -inf where no path passes, and the normalisers."""
        shape = (*self.encoder.shape[:2], self.prediction.shape[1])
        normaliser = self.encoder.new_zeros(shape, dtype=self.exact_dtype)
        scores = normaliser.new_full((topology.symbols, *shape), -INFINITY)
        targets = cell_targets(labels, label_lengths, topology)
        with torch.autocast(self.encoder.device.type, enabled=False):
            for block in self.blocks(*topology.band(shape[1], lengths, label_lengths)):
                logits = self.logits(self.joiner.activation(self.sums(block)))
                found = self.joiner.distribution.scores(logits, block.targets_of(targets))
                block.of(scores).copy_(found[0])
                block.of(normaliser).copy_(found[1])
        return scores, normaliser


@dataclass(frozen=True)
class _Gradients:
    """Gradients summed over blocks, in at least float32."""

    encoder: Tensor
    prediction: Tensor
    weight: Tensor
    bias: Tensor

    def add(
        self,
        inputs: _Inputs,
        block: Block,
        of_logits: Callable[[Tensor], Tensor],
        factor: float,
    ) -> None:
        """Adds the gradient of a block, scaled; `of_logits` turns logits into their gradient."""
        with torch.enable_grad():
            sums = inputs.sums(block).requires_grad_()
            hidden = inputs.joiner.activation(sums)
        rows = hidden.detach().flatten(0, 1)
        outputs = of_logits(inputs.logits(hidden.detach())).flatten(0, 1)
        self.bias.add_(outputs.sum(0, dtype=self.bias.dtype), alpha=factor)
        outputs = outputs.to(rows.dtype)
        if self.weight.dtype == rows.dtype:
            self.weight.addmm_(outputs.T, rows, alpha=factor)
        else:
            self.weight.add_(outputs.T @ rows, alpha=factor)
        upstream = (outputs @ inputs.weight).view_as(hidden)
        (inner,) = torch.autograd.grad(hidden, sums, upstream)
        dtype = self.encoder.dtype
        block.frames_of(self.encoder).add_(inner.sum(1, dtype=dtype), alpha=factor)
        block.counts_of(self.prediction).add_(inner.sum(0, dtype=dtype), alpha=factor)


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
        inputs = _Inputs.of(encoder, prediction, joiner)
        given = (labels, lengths, label_lengths, topology)
        scores, normaliser = inputs.scores(*given)
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
        inputs = _Inputs.of(encoder, prediction, joiner, ctx.dtype)
        sums = _Gradients(*(torch.zeros_like(each, dtype=inputs.exact_dtype) for each in tensors))
        factors = gradients[0].tolist()
        with torch.autocast(encoder.device.type, enabled=False):
            for block in inputs.blocks(*occupied_band(occupation)):
                of_logits = partial(
                    joiner.distribution.gradient,
                    normaliser=block.of(normaliser),
                    occupation=block.of(occupation),
                    targets=block.targets_of(targets),
                )
                sums.add(inputs, block, of_logits, factors[block.utterance])
        found = (sums.encoder, sums.prediction, sums.weight, sums.bias)
        given = (each.to(like.dtype) for each, like in zip(found, tensors, strict=True))
        return (*given, None, None, None, None, None)
