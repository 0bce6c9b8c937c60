"""The full-sum loss of a transducer over the alignments within windows of label counts.

As in `joiner_loss.py`, but the joiner is applied to only W cells of each frame, for all frames of a
batch in a row, a few logits at a time. Cells outside of the windows have probability 0, so that the
lattice of all cells sums over the rest. It has no vocabulary axis and costs little.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrkit.lattice.cells import cell_targets, occupations
from asrkit.lattice.lattice import INFINITY
from asrkit.lattice.topologies import Topology
from asrkit.losses.full_sum import full_sum_loss
from asrkit.losses.joiner import Joiner, JoinerGradients, JoinerTensors
from asrkit.losses.pruning import Windows
from asrkit.nn.masking import length_mask


def pruned_joiner_loss(
    encoder: Tensor,
    prediction: Tensor,
    joiner: Joiner,
    labels: Tensor,
    lengths: Tensor,
    label_lengths: Tensor,
    topology: Topology,
    windows: Windows,
) -> Tensor:
    """Returns -log p(labels, alignment within windows | frames) of each utterance.

    This equals `joiner_loss` where the windows contain all counts, and is larger otherwise.

    Args:
        encoder: (B, T, J) projected frames.
        prediction: (B, U + 1, J) projected states after 0 to U labels.
        joiner: What is applied to their sum.
        labels: (B, U).
        lengths: (B,) valid frames.
        label_lengths: (B,).
        topology: Which alignments there are.
        windows: The cells to keep; no gradient goes through their choice.

    Returns:
        (B,) losses; infinite, with a zero gradient, where no alignment is within the windows.

    Source: Kuang et al. 2022, "Pruned RNN-T for fast, memory-efficient ASR training", section 3.
    """
    given = (labels, lengths, label_lengths, topology)
    if not torch.is_grad_enabled():
        cells = _Cells.of(windows, lengths, prediction.shape[1])
        inputs = _flat(encoder, prediction, joiner, label_lengths)
        targets = cell_targets(labels, label_lengths, topology).flatten(1)
        scores, _ = _scores(inputs, cells, targets)
        return full_sum_loss(cells.spread(scores, -INFINITY), *given)
    tensors = (encoder, prediction, joiner.weight, joiner.bias)
    losses: Tensor = _PrunedLoss.apply(*tensors, joiner, *given, windows)  # type: ignore[no-untyped-call]
    return losses


@dataclass(frozen=True)
class _Cells:
    """The R valid frames of a batch and W cells of each.

    Args:
        frames: (R,) indices into B · T.
        counts: (R, W) indices into B · (U + 1).
        utterances: (R,) utterance of each frame.
        cells: (R, W) indices into B · T · (U + 1).
        shape: B, T, U + 1.
    """

    frames: Tensor
    counts: Tensor
    utterances: Tensor
    cells: Tensor
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, windows: Windows, lengths: Tensor, num_counts: int) -> _Cells:
        """Returns the cells of the windows; num_counts is U + 1."""
        batch, num_frames = windows.start.shape
        frames = length_mask(lengths, num_frames).flatten().nonzero().squeeze(1)
        utterances = frames.div(max(num_frames, 1), rounding_mode="floor")
        counts = windows.counts().flatten(0, 1)[frames]
        return cls(
            frames,
            counts + num_counts * utterances[:, None],
            utterances,
            counts + num_counts * frames[:, None],
            (batch, num_frames, num_counts),
        )

    def parts(self, max_frames: int) -> Iterator[slice]:
        """Yields slices of the R frames."""
        for start in range(0, len(self.frames), max_frames):
            yield slice(start, start + max_frames)

    def spread(self, values: Tensor, elsewhere: float) -> Tensor:
        """Returns (Y, B, T, U + 1) with values (Y, R, W) in their cells."""
        batch, frames, counts = self.shape
        spread = values.new_full((len(values), batch * frames * counts), elsewhere)
        spread[:, self.cells] = values
        return spread.view(-1, *self.shape)

    def collect(self, values: Tensor) -> Tensor:
        """Returns (Y, R, W) from values (Y, B, T, U + 1)."""
        return values.flatten(1)[:, self.cells]


def _flat(
    encoder: Tensor,
    prediction: Tensor,
    joiner: Joiner,
    label_lengths: Tensor,
    dtype: torch.dtype | None = None,
) -> JoinerTensors:
    """Returns the tensors, flat: encoder (B · T, J), prediction (B · (U + 1), J), its padding 0."""
    mask = length_mask(label_lengths + 1, prediction.shape[1])  # (B, U + 1)
    known = prediction.detach().masked_fill(~mask[..., None], 0.0)
    return JoinerTensors.of(encoder.detach().flatten(0, 1), known.flatten(0, 1), joiner, dtype)


def _parts(inputs: JoinerTensors, cells: _Cells) -> Iterator[slice]:
    """Yields slices of the R frames, as many as are computed at a time."""
    return cells.parts(max(1, inputs.cells_at_a_time // cells.cells.shape[1]))


def _sums(inputs: JoinerTensors, cells: _Cells, part: slice) -> Tensor:
    """Returns (C, W, J) for the cells of a slice."""
    return inputs.prediction[cells.counts[part]] + inputs.encoder[cells.frames[part]][:, None]


def _logits(inputs: JoinerTensors, hidden: Tensor) -> Tensor:
    """Returns (C, W, V + 1) from hidden (C, W, J')."""
    return inputs.products(hidden).to(inputs.exact_dtype)


@torch.no_grad()
def _scores(inputs: JoinerTensors, cells: _Cells, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Returns (Y, R, W) scores and (R, W) normalisers; targets (Y - 1, B · (U + 1))."""
    normaliser = torch.empty_like(cells.counts, dtype=inputs.exact_dtype)  # (R, W)
    scores = normaliser.new_empty((len(targets) + 1, *normaliser.shape))  # (Y, R, W)
    with torch.autocast(inputs.encoder.device.type, enabled=False):
        for part in _parts(inputs, cells):
            logits = _logits(inputs, inputs.joiner.activation(_sums(inputs, cells, part)))
            found = inputs.joiner.distribution.scores(logits, targets[:, cells.counts[part]])
            scores[:, part], normaliser[part] = found
    return scores, normaliser


def _add_sums(to: JoinerGradients, cells: _Cells, part: slice, inner: Tensor) -> None:
    """Adds the gradient of sums, inner (C, W, J)."""
    dtype = to.encoder.dtype
    to.encoder[cells.frames[part]] = inner.sum(1, dtype=dtype)
    places = cells.counts[part].flatten()  # (C · W,)
    to.prediction.index_add_(0, places, inner.flatten(0, 1).to(dtype))


class _PrunedLoss(torch.autograd.Function):
    """The loss; its backward pass computes the logits of the windows again."""

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
        windows: Windows,
    ) -> Tensor:
        """Returns (B,) losses."""
        cells = _Cells.of(windows, lengths, prediction.shape[1])
        inputs = _flat(encoder, prediction, joiner, label_lengths)
        targets = cell_targets(labels, label_lengths, topology).flatten(1)
        scores, normaliser = _scores(inputs, cells, targets)
        spread = cells.spread(scores, -INFINITY)
        losses, occupation = occupations(spread, labels, lengths, label_lengths, topology)
        kept = cells.collect(occupation)
        ctx.save_for_backward(
            encoder, prediction, weight, bias, normaliser, kept, targets, label_lengths
        )
        ctx.joiner, ctx.cells, ctx.dtype = joiner, cells, inputs.encoder.dtype
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients of encoder, prediction, weight and bias."""
        *tensors, normaliser, occupation, targets, label_lengths = ctx.saved_tensors
        encoder, prediction, weight, bias = tensors
        joiner = replace(ctx.joiner, weight=weight, bias=bias)
        cells: _Cells = ctx.cells
        inputs = _flat(encoder, prediction, joiner, label_lengths, ctx.dtype)
        shapes = (inputs.encoder, inputs.prediction, weight, bias)
        sums = JoinerGradients.zeros(shapes, normaliser.dtype)
        factors = gradients[0].to(normaliser.dtype)[cells.utterances]
        with torch.autocast(encoder.device.type, enabled=False):
            for part in _parts(inputs, cells):
                with torch.enable_grad():
                    before = _sums(inputs, cells, part).requires_grad_()
                    hidden = joiner.activation(before)
                outputs = joiner.distribution.gradient(
                    _logits(inputs, hidden.detach()),
                    normaliser[part],
                    occupation[:, part],
                    targets[:, cells.counts[part]],
                ).mul_(factors[part, None, None])
                upstream = sums.add_output(inputs, hidden.detach(), outputs)
                (inner,) = torch.autograd.grad(hidden, before, upstream)
                _add_sums(sums, cells, part, inner)
        return (*sums.like(tensors), None, None, None, None, None, None)
