"""The loss of lattice-free MMI: how much likelier all that can be said is than what was said.

Per chunk it is the log of the summed weights of all paths of the denominator, less that of the
numerator's paths. Its gradient by a score is the difference of the two posterior probabilities.

Source: Povey et al. 2016, "Purely sequence-trained neural networks for ASR based on lattice-free
MMI".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrkit.losses.mmi_graphs import Denominator, Numerator, sum_said
from asrkit.losses.mmi_sums import backward_sums, forward_sums

HIGHEST = 30.0
"""Scores below the best of their frame by more count as if they were not."""


class Chunk(NamedTuple):
    """A part of an utterance: frames from `begin` on; None where nothing is known to be said."""

    said: Numerator | None
    begin: int


def mmi_loss(
    scores: Tensor,
    lengths: Tensor,
    chunks: Sequence[Chunk],
    denominator: Denominator,
    leak: float,
) -> tuple[Tensor, Tensor]:
    """Returns the losses of chunks, and what was said.

    Args:
        scores: (B, T, S) log-scores of tied states, which need no normalisation.
        lengths: (B,) valid frames.
        chunks: B of them.
        denominator: All that can be said.
        leak: Probability of moving to any history before a frame.

    Returns:
        (B,) losses in nats, 0 with a zero gradient where the numerator has no path; and posterior
        probabilities (B, T, S) of tied states given what was said, 0 in such chunks.
    """
    found: tuple[Tensor, Tensor] = _Mmi.apply(  # type: ignore[no-untyped-call]
        scores, lengths, chunks, denominator, leak
    )
    return found


def numerator_sums(
    scores: Tensor, lengths: Tensor, chunks: Sequence[Chunk]
) -> tuple[Tensor, Tensor]:
    """Returns logs of sums (B,), -inf where there is no path, and posteriors (B, T, S)."""
    exact = scores.detach().cpu().numpy()  # (B, T, S)
    posteriors = np.zeros_like(exact)
    totals = np.full(len(exact), -np.inf)
    for b, (chunk, length) in enumerate(zip(chunks, lengths.tolist(), strict=True)):
        if chunk.said is not None:
            said = chunk.said
            totals[b] = sum_said(
                exact[b, :length], said.firsts, said.stays, said.entries, said.loops, said.initial,
                said.earliest, said.latest, chunk.begin, posteriors[b],
            )  # fmt: skip
    return torch.from_numpy(totals).to(scores), torch.from_numpy(posteriors).to(scores)


def denominator_sums(
    scores: Tensor, lengths: Tensor, denominator: Denominator, leak: float
) -> tuple[Tensor, Tensor]:
    """Returns logs of sums (B,) and posteriors (B, T, S)."""
    best = scores.max(2, keepdim=True).values  # (B, T, 1)
    shifted = (scores - best).clamp(min=-HIGHEST).exp()  # (B, T, S)
    exps = shifted.permute(1, 2, 0).contiguous().cpu().numpy()  # (T, S, B)
    frames, _, batch = exps.shape
    kind, graph = exps.dtype, denominator
    forward = np.empty((frames + 1, len(graph.stays), batch), kind)
    totals, posteriors = np.zeros(batch, np.float64), np.zeros_like(exps)
    stay_weights, initial, weights = (
        each.astype(kind) for each in (graph.stay_weights, graph.initial, graph.weights)
    )
    size, start = lengths.cpu().numpy(), (graph.stays, stay_weights, initial)
    forward_sums(
        exps, size, *start, *graph.by_target, graph.sources, graph.states, weights, kind.type(leak),
        forward, totals,
    )  # fmt: skip
    backward_sums(
        exps, size, *start, *graph.by_source, graph.targets, graph.states, weights, kind.type(leak),
        forward, posteriors,
    )  # fmt: skip
    valid = torch.arange(frames, device=lengths.device) < lengths[:, None]  # (B, T)
    constants = (best[..., 0] * valid).double().sum(1)  # (B,)
    sums = torch.from_numpy(totals).to(constants) + constants
    return sums.to(scores), torch.from_numpy(posteriors).to(scores).permute(2, 0, 1)


class _Mmi(torch.autograd.Function):
    """The loss, whose gradient is known when it is."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        lengths: Tensor,
        chunks: Sequence[Chunk],
        denominator: Denominator,
        leak: float,
    ) -> tuple[Tensor, Tensor]:
        """Returns (B,) losses and (B, T, S) posteriors of what was said."""
        said, numerator = numerator_sums(scores, lengths, chunks)
        every, gradient = denominator_sums(scores, lengths, denominator, leak)
        has_path = said.isfinite()
        losses = torch.where(has_path, every - said, torch.zeros_like(said))
        ctx.save_for_backward((gradient - numerator) * has_path[:, None, None])
        ctx.mark_non_differentiable(numerator)
        return losses, numerator

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradient of the scores."""
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0][:, None, None], None, None, None, None
