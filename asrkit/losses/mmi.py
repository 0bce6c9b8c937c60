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

from asrkit.acceleration import triton_serves
from asrkit.losses.mmi_graphs import Denominator, Numerator, sum_said
from asrkit.losses.mmi_sums import Ways, backward_sums, forward_sums
from asrkit.losses.said_graphs import SaidGraph

HIGHEST = 30.0
"""Scores below the best of their frame by more count as if they were not."""


class Chunk(NamedTuple):
    """A part of an utterance: frames from `begin` on; None where nothing is known to be said.

    A graph of a transcript is of the whole utterance, which begins at 0.
    """

    said: Numerator | SaidGraph | None
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
        said = chunk.said
        if isinstance(said, SaidGraph):
            totals[b] = said.sum(exact[b, :length], posteriors[b])
        elif said is not None:
            totals[b] = sum_said(
                exact[b, :length], said.firsts, said.stays, said.entries, said.loops, said.initial,
                said.earliest, said.latest, chunk.begin, posteriors[b],
            )  # fmt: skip
    return torch.from_numpy(totals).to(scores), torch.from_numpy(posteriors).to(scores)


def denominator_sums(
    scores: Tensor, lengths: Tensor, denominator: Denominator, leak: float
) -> tuple[Tensor, Tensor]:
    """Returns logs of sums (B,) and posteriors (B, T, S)."""
    exps, constants = scaled_exps(scores, lengths)  # (T, S, B), (B,)
    if triton_serves(exps):
        from asrkit.losses import triton_mmi

        totals, posteriors = triton_mmi.sums(exps, lengths, denominator, leak)
    else:
        totals, posteriors = _sums(exps, lengths, denominator, leak)
    sums = totals.to(constants) + constants
    return sums.to(scores), posteriors.to(scores).permute(2, 0, 1)


def scaled_exps(scores: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Returns exponents (T, S, B) of scores (B, T, S), less the best of each frame.

    Args:
        scores: (B, T, S).
        lengths: (B,) valid frames.

    Returns:
        Also what was left out of the logs of their sums, (B,) float64.
    """
    best = scores.max(2, keepdim=True).values  # (B, T, 1)
    shifted = (scores - best).clamp(min=-HIGHEST).exp()  # (B, T, S)
    exps = shifted.permute(1, 2, 0).contiguous()  # (T, S, B)
    frames = torch.arange(len(exps), device=lengths.device)
    return exps, (best[..., 0] * (frames < lengths[:, None])).double().sum(1)


def _sums(
    exps: Tensor, lengths: Tensor, denominator: Denominator, leak: float
) -> tuple[Tensor, Tensor]:
    """Returns logs of sums (B,) without the constants, and posteriors (T, S, B), on the CPU."""
    exponents, size, graph = exps.cpu().numpy(), lengths.cpu().numpy(), denominator
    frames, _, batch = exponents.shape
    kind = exponents.dtype
    forward = np.empty((frames + 1, len(graph.stays), batch), kind)
    totals, posteriors = np.zeros(batch, np.float64), np.zeros_like(exponents)
    stay_weights, initial, weights = (
        each.astype(kind) for each in (graph.stay_weights, graph.initial, graph.weights)
    )
    start, end = (graph.stays, stay_weights, initial), (graph.states, weights)
    entering = Ways(*start, *graph.by_target, graph.sources, *end)
    leaving = Ways(*start, *graph.by_source, graph.targets, *end)
    forward_sums(exponents, size, entering, kind.type(leak), forward, totals)
    backward_sums(exponents, size, leaving, kind.type(leak), forward, posteriors)
    return torch.from_numpy(totals), torch.from_numpy(posteriors)


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
