"""The full-sum loss of a transducer whose joiner only adds two vectors of logits.

With logits e[t, v] + p[u, v] the normaliser of a cell is the log of a matrix product, the sum over
v of exp(e[t, v]) exp(p[u, v]); both gradients are matrix products, too. No tensor has an entry for
each frame, label count and vocabulary entry, and the loss costs next to nothing. Its occupations
show which cells a better joiner needs to compute (`pruning.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrkit.lattice.cells import cell_targets, exact_dtype, occupations
from asrkit.lattice.topologies import BLANK, LABEL, Topology
from asrkit.nn.masking import length_mask

# Logits held at a time where the product of exponentials underflows.
MAX_LOGITS = 2**22


def trivial_joiner_loss(
    encoder: Tensor,
    prediction: Tensor,
    labels: Tensor,
    lengths: Tensor,
    label_lengths: Tensor,
    topology: Topology,
) -> tuple[Tensor, Tensor]:
    """Returns -log p(labels | frames) for the softmax of summed logits, and its occupations.

    Args:
        encoder: (B, T, V + 1) logits of the frames, blank last.
        prediction: (B, U + 1, V + 1) logits after 0 to U labels.
        labels: (B, U).
        lengths: (B,) valid frames.
        label_lengths: (B,).
        topology: RNN-T or RNA.

    Returns:
        (B,) losses; infinite, with a zero gradient, where the labels do not fit into the frames.
        (2, B, T, U + 1) probability of blank and the next label in each cell, given the labels;
        without gradient.

    Raises:
        ValueError: If the topology needs scores of more than blank and the next label.

    Source: Kuang et al. 2022, "Pruned RNN-T for fast, memory-efficient ASR training", section 3.1.
    """
    if topology.symbols != 2:
        raise ValueError(
            f"a trivial joiner is for RNN-T and RNA, not for {type(topology).__name__}"
        )
    losses, occupation = _TrivialJoinerLoss.apply(  # type: ignore[no-untyped-call]
        encoder, prediction, labels, lengths, label_lengths, topology
    )
    return losses, occupation


@dataclass(frozen=True)
class _Sums:
    """The logits e + p of all cells, which are never computed at once.

    Args:
        encoder: (B, T, V + 1) e.
        prediction: (B, U + 1, V + 1) p.
    """

    encoder: Tensor
    prediction: Tensor

    @classmethod
    def of(
        cls, encoder: Tensor, prediction: Tensor, lengths: Tensor, label_lengths: Tensor
    ) -> _Sums:
        """Returns them in at least float32, with zeros in the padding."""
        dtype = exact_dtype(encoder)
        frames = length_mask(lengths, encoder.shape[1])[..., None]
        counts = length_mask(label_lengths + 1, prediction.shape[1])[..., None]
        return cls(
            encoder.detach().to(dtype).masked_fill(~frames, 0.0),
            prediction.detach().to(dtype).masked_fill(~counts, 0.0),
        )

    def exponentials(self) -> tuple[Tensor, Tensor]:
        """Returns exp(e) and exp(p), each row scaled so that its largest value is 1."""
        e, p = self.encoder, self.prediction
        return (e - e.amax(2, keepdim=True)).exp(), (p - p.amax(2, keepdim=True)).exp()

    def product(self) -> Tensor:
        """Returns (B, T, U + 1) the sums of products of exponentials; 0 where too small.

        Terms that underflow do not change any digit of the other sums.
        """
        e, p = self.exponentials()
        product = e @ p.transpose(1, 2)  # (B, T, U + 1)
        kind = torch.finfo(product.dtype)
        return product.masked_fill_(product < e.shape[2] * kind.tiny / kind.eps, 0.0)

    def normaliser(self, product: Tensor) -> Tensor:
        """Returns (B, T, U + 1) the log-sums over v, given their product."""
        scale = self.encoder.amax(2)[:, :, None] + self.prediction.amax(2)[:, None]  # (B, T, U + 1)
        normaliser = product.log() + scale
        for cells in self.underflown(product):
            normaliser[cells] = self.logits(cells).logsumexp(1)
        return normaliser

    def underflown(self, product: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yields the utterances, frames and counts (C,) of cells where the product underflows."""
        cells = (product == 0.0).nonzero()  # (C, 3)
        for some in cells.split(max(1, MAX_LOGITS // self.encoder.shape[2])):
            utterances, frames, counts = some.unbind(1)
            yield utterances, frames, counts

    def logits(self, cells: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Returns (C, V + 1) logits of cells."""
        utterances, frames, counts = cells
        return self.encoder[utterances, frames] + self.prediction[utterances, counts]

    def scores(self, normaliser: Tensor, targets: Tensor) -> Tensor:
        """Returns (2, B, T, U + 1) log-probabilities of blank and targets (B, U + 1)."""
        e, p = self.encoder, self.prediction
        blank = e[:, :, None, -1] + p[:, None, :, -1]  # (B, T, U + 1)
        next_label = p.gather(2, targets[..., None]).transpose(1, 2)  # (B, 1, U + 1)
        label = e.gather(2, targets[:, None].expand(-1, e.shape[1], -1)) + next_label
        return torch.stack([blank, label]) - normaliser

    def softmax_gradients(self, product: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the gradients of e and p for the sum of weights (B, T, U + 1) times normaliser.

        They are the softmax of the cells, summed over counts for e and over frames for p.
        """
        e, p = self.exponentials()
        factors = torch.where(product > 0.0, weights / product, 0.0)  # (B, T, U + 1)
        of_e = (factors @ p).mul_(e)  # (B, T, V + 1)
        of_p = (factors.transpose(1, 2) @ e).mul_(p)
        for cells in self.underflown(product):
            utterances, frames, counts = cells
            part = self.logits(cells).softmax(1) * weights[cells][:, None]
            of_e.index_put_((utterances, frames), part, accumulate=True)
            of_p.index_put_((utterances, counts), part, accumulate=True)
        return of_e, of_p


class _TrivialJoinerLoss(torch.autograd.Function):
    """The loss; its gradient is computed from the occupations by matrix products."""

    @staticmethod
    def forward(
        ctx: Any,
        encoder: Tensor,
        prediction: Tensor,
        labels: Tensor,
        lengths: Tensor,
        label_lengths: Tensor,
        topology: Topology,
    ) -> tuple[Tensor, Tensor]:
        """Returns (B,) losses and (2, B, T, U + 1) occupations."""
        targets = cell_targets(labels, label_lengths, topology)[0]
        with torch.autocast(encoder.device.type, enabled=False):
            sums = _Sums.of(encoder, prediction, lengths, label_lengths)
            product = sums.product()
            scores = sums.scores(sums.normaliser(product), targets)
        losses, occupation = occupations(scores, labels, lengths, label_lengths, topology)
        ctx.mark_non_differentiable(occupation)
        ctx.save_for_backward(
            encoder, prediction, lengths, label_lengths, targets, product, occupation
        )
        return losses, occupation

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients of encoder and prediction."""
        encoder, prediction, lengths, label_lengths, targets, product, occupation = (
            ctx.saved_tensors
        )
        weights = occupation * gradients[0][:, None, None]
        with torch.autocast(encoder.device.type, enabled=False):
            sums = _Sums.of(encoder, prediction, lengths, label_lengths)
            of_e, of_p = sums.softmax_gradients(product, weights.sum(0))
        of_e[..., -1] -= weights[BLANK].sum(2)
        of_p[..., -1] -= weights[BLANK].sum(1)
        of_e.scatter_add_(2, targets[:, None].expand(weights.shape[1:]), -weights[LABEL])
        of_p.scatter_add_(2, targets[..., None], -weights[LABEL].sum(1)[..., None])
        return of_e.to(encoder.dtype), of_p.to(prediction.dtype), None, None, None, None
