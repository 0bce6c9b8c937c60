"""Changes to the probabilities of frame symbols before a search: priors, blank, fewer frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from asrkit.scorers.ctc_prefix import CtcPrefixScorer
from asrkit.scorers.interfaces import (
    Frames,
    FrameScorer,
    LabelScorer,
    ScoringHead,
)


@dataclass(frozen=True)
class FrameChanges:
    """What is done to the frames of a CTC output, in this order.

    Args:
        prior: (V + 1,) scaled log-priors that are subtracted; each frame sums to one afterwards.
        blank_penalty: Subtracted from blank's log-probability.
        blank_collapse: Of successive frames whose blank is more probable than this, one is kept,
            and none at the edges; null keeps all.

    Source: Zeyer et al. 2021 (priors); the order and the renormalisation are those of the
        reference system for joint search.
    """

    prior: Tensor | None = None
    blank_penalty: float = 0.0
    blank_collapse: float | None = None

    def __call__(self, log_probs: Tensor, lengths: Tensor) -> Frames:
        """Returns changed frames; the batch may become shorter."""
        if self.blank_collapse is not None:
            log_probs, lengths = collapse_blanks(log_probs, lengths, self.blank_collapse)
        if self.prior is not None:
            log_probs = torch.log_softmax(log_probs - self.prior.to(log_probs), dim=2)
        if self.blank_penalty:
            penalty = torch.zeros_like(log_probs[0, 0])
            penalty[-1] = self.blank_penalty
            log_probs = log_probs - penalty
        return Frames(log_probs, lengths)


class AdjustedHead:
    """A CTC head with changed frames, for both kinds of search.

    Args:
        head: The head.
        changes: What is done to its frames.
    """

    def __init__(self, head: ScoringHead, changes: FrameChanges) -> None:
        self.head, self.changes = head, changes

    def frame_scorer(self, encoded: Any) -> FrameScorer:
        """Returns the changed frames."""
        frames = self.head.frame_scorer(encoded)
        return self.changes(frames.log_probs, frames.lengths)

    def label_scorer(self, encoded: Any) -> LabelScorer:
        """Returns prefix scores over the changed frames."""
        frames = self.frame_scorer(encoded)
        return CtcPrefixScorer(frames.log_probs, frames.lengths)


def collapse_blanks(log_probs: Tensor, lengths: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Leaves out frames that are almost surely blank.

    One of each run stays, so that the labels at its sides don't touch; none at the edges. An
    utterance that is nothing but blank keeps one frame.

    Args:
        log_probs: (B, T, V + 1), blank last.
        lengths: (B,) valid frames.
        threshold: Probability from which on a frame counts as blank.

    Returns:
        (B, T', V + 1) and (B,).
    """
    frames = torch.arange(log_probs.shape[1], device=lengths.device)
    valid = frames < lengths[:, None]
    blank = (log_probs[:, :, -1].exp() > threshold) & valid
    spoken = valid & ~blank
    before = spoken.long().cumsum(1)  # spoken frames up to here
    inside = (before > 0) & (before < before[:, -1:])
    first_of_run = torch.cat([blank[:, :1], blank[:, 1:] & ~blank[:, :-1]], dim=1)
    kept = spoken | (blank & inside & first_of_run)
    kept[:, 0] |= ~kept.any(1)
    counts = kept.sum(1)
    order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)[:, : int(counts.max())]
    return log_probs.gather(1, order[..., None].expand(-1, -1, log_probs.shape[2])), counts
