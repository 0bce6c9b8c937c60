"""The expected errors in frames of all that can be said: state-level minimum Bayes risk (sMBR).

A frame is right where a path has the tied state that was said, or the phone; where it is not known
for certain which that is, as far as it is probable. The gradient by a score is exact, with what was
said held fixed.

Source: Kanda et al. 2018, "Lattice-free state-level minimum Bayes risk training of acoustic
models"; Vesely et al. 2013, "Sequence-discriminative training of deep neural networks" (sMBR).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from asrkit.losses.dual_sums import dual_sums
from asrkit.losses.mmi import Chunk, numerator_sums, scaled_exps
from asrkit.losses.mmi_graphs import Denominator, Ints

Unit = Literal["states", "phones"]
Silence = Literal["right", "wrong"]
NEVER = -1
"""The class of tied states that are never right."""


class Risk(NamedTuple):
    """What chunks cost; all is 0, with a zero gradient, where the numerator has no path.

    Args:
        errors: (B,) expected frames that are wrong.
        mmi: (B,) losses of LF-MMI in nats.
        said: (B, T, S) posterior probabilities of tied states given what was said.
    """

    errors: Tensor
    mmi: Tensor
    said: Tensor


def smbr_loss(
    scores: Tensor,
    lengths: Tensor,
    chunks: Sequence[Chunk],
    denominator: Denominator,
    leak: float,
    classes: Ints,
) -> Risk:
    """Returns the expected errors of chunks, and their losses of LF-MMI.

    Args:
        scores: (B, T, S) log-scores of tied states, which need no normalisation.
        lengths: (B,) valid frames.
        chunks: B of them.
        denominator: All that can be said.
        leak: Probability of moving to any history before a frame.
        classes: (S,) from `alike`: which tied states are right for which.
    """
    found = _Risk.apply(  # type: ignore[no-untyped-call, unused-ignore]
        scores, lengths, chunks, denominator, leak, classes
    )
    return Risk(*found)


def alike(
    denominator: Denominator,
    unit: Unit,
    size: int,
    silent: Collection[int] = (),
    silence: Silence = "right",
) -> Ints:
    """Returns the class of each tied state (S,): those of the class that was said are right.

    Args:
        denominator: Tells their phones.
        unit: Whether a class is a tied state or a phone.
        size: S; tied states that the denominator does not have have any class.
        silent: Phones of silence and noise.
        silence: Whether these are one class, or never right.
    """
    phones = denominator.phones
    classes = np.arange(len(phones)) if unit == "states" else phones
    of_silence = classes.max() + 1 if silence == "right" else NEVER
    found = np.where(np.isin(phones, list(silent)), of_silence, classes)
    return np.pad(found, (0, size - len(found))).astype(np.int32)


def _shared(said: Tensor, classes: Tensor) -> Tensor:
    """Returns how probably the class of each tied state was said (B, T, S), 0 of those of none."""
    never = int(classes.max()) + 1
    places = classes.where(classes != NEVER, never)
    sums = said.new_zeros(*said.shape[:2], never + 1).index_add(2, places, said)  # (B, T, C + 1)
    sums[..., never] = 0
    return sums[..., places]


class _Risk(torch.autograd.Function):
    """Expected errors and the loss of LF-MMI, whose gradients are known when they are."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        lengths: Tensor,
        chunks: Sequence[Chunk],
        denominator: Denominator,
        leak: float,
        classes: Ints,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns (B,) expected errors, (B,) losses and (B, T, S) posteriors of what was said."""
        said, numerator = numerator_sums(scores, lengths, chunks)
        exps, constants = scaled_exps(scores, lengths)
        accuracy = _shared(numerator, torch.from_numpy(classes).to(scores.device))
        rates = accuracy.permute(1, 2, 0).to(exps).contiguous()  # (T, S, B)
        found = dual_sums(exps, rates, lengths, denominator, leak)
        posteriors, changes = found.posteriors.to(scores).permute(0, 3, 1, 2)  # (B, T, S) each
        has_path = said.isfinite()
        mask, zero = has_path[:, None, None], torch.zeros_like(said)
        ctx.save_for_backward(-changes * mask, (posteriors - numerator) * mask)
        ctx.mark_non_differentiable(numerator)
        errors = (lengths - found.accuracies).to(scores)
        every = (found.totals + constants).to(scores)
        return (
            torch.where(has_path, errors, zero),
            torch.where(has_path, every - said, zero),
            numerator,
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradient of the scores."""
        of_errors, of_mmi = ctx.saved_tensors
        errors, mmi = (gradient[:, None, None] for gradient in gradients[:2])
        return errors * of_errors + mmi * of_mmi, None, None, None, None, None
