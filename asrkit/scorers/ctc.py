"""A CTC head as a scorer, its frames changed before a search: priors, blank, fewer of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from asrkit.scorers.ctc_prefix import CtcPrefixScorer
from asrkit.scorers.entries import OfHead, scorers
from asrkit.scorers.interfaces import EosFrameSource, FrameScores, LabelScorer
from asrkit.scorers.loader import FoundHead, Loader
from asrkit.scorers.sources import Source, unfit


@scorers.register("ctc")
@dataclass(frozen=True)
class CtcScorer(OfHead):
    """A CTC head whose frame probabilities are changed before the search.

    Args:
        weight: Factor of its log-probabilities.
        head: Name of the head; the entry's name where null.
        run: Run folder of another model with the same vocabulary (system combination).
        checkpoint: Of that run.
        prior: File of label priors, made by `asrkit prior`.
        prior_scale: Log-priors are subtracted with this factor; with 0 there need be no file.
        blank_penalty: Subtracted from blank's log-probability.
        blank_collapse: Of successive frames whose blank is more probable than this, one is kept,
            and none at the edges; null keeps all.
        mask_eos: Of heads that were trained with `eos: true`: whether blank gets the probability
            of eos; else that is lost.
    """

    hears: ClassVar[bool] = True
    prior: Path | None = None
    prior_scale: float | None = None
    blank_penalty: float = 0.0
    blank_collapse: float | None = None
    mask_eos: bool = True

    def __post_init__(self) -> None:
        if self.prior_scale and self.prior is None:
            raise ValueError(f"prior_scale ({self.prior_scale}) needs a prior: a file")
        if self.prior is not None and self.prior_scale is None:
            raise ValueError(f"prior ({self.prior}) needs a prior_scale: its factor")
        if self.blank_collapse is not None and not 0 < self.blank_collapse < 1:
            raise ValueError(f"blank_collapse ({self.blank_collapse}) must be between 0 and 1")

    @property
    def rewards(self) -> bool:
        """Whether blank is made more probable, and with it longer alignments."""
        return self.blank_penalty < 0

    def find(self, name: str, loader: Loader) -> Source:
        """Returns the head with its changes: frames, and prefix scores over them."""
        found = self.found(name, loader)
        prior = None
        if self.prior is not None and self.prior_scale:
            prior = self.prior_scale * loader.prior(self.prior, self.run, self.checkpoint)
        changes = FrameChanges(prior, self.blank_penalty, self.blank_collapse)
        frames = found.source if self.mask_eos else _without_eos(found)
        return changed(frames, changes)


def _without_eos(found: FoundHead) -> Source:
    """Returns the frames of a CTC head without the probability of eos."""
    head = found.head
    if not isinstance(head, EosFrameSource) or head.eos is None:
        raise unfit(
            found.what,
            "has frames without eos, and mask_eos is false",
            "a CTC head that was trained with `eos: true`, or no mask_eos",
        )
    source = Source(found.what, frames=head.frames_without_eos, by_chunk=found.source.by_chunk)
    return source.reading(found.pick)


@dataclass(frozen=True)
class FrameChanges:
    """What is done to the frames of a CTC output, in this order.

    Args:
        prior: (V + 1,) scaled log-priors that are subtracted; each frame sums to one afterwards.
        blank_penalty: Subtracted from blank's log-probability.
        blank_collapse: Of successive frames whose blank is more probable than this, one is kept,
            and none at the edges; null keeps all.

    Source: Zeyer et al. 2021 (priors); the order and the renormalisation are those of the
        rwth-i6/i6_experiments, users/gaudino/experiments/rf_conformer_att_2023.
    """

    prior: Tensor | None = None
    blank_penalty: float = 0.0
    blank_collapse: float | None = None

    def __call__(self, log_probs: Tensor, lengths: Tensor) -> FrameScores:
        """Returns changed frames; the batch may become shorter."""
        if self.blank_collapse is not None:
            log_probs, lengths = collapse_blanks(log_probs, lengths, self.blank_collapse)
        if self.prior is not None:
            log_probs = torch.log_softmax(log_probs - self.prior.to(log_probs), dim=2)
        if self.blank_penalty:
            penalty = torch.zeros_like(log_probs[0, 0])
            penalty[-1] = self.blank_penalty
            log_probs = log_probs - penalty
        return FrameScores(log_probs, lengths)


def changed(source: Source, changes: FrameChanges) -> Source:
    """Returns a source of frames with changes, and of prefix scores over them."""
    source.require("frames")
    given = source.frames
    assert given is not None

    def frames(encoded: Any) -> FrameScores:
        before = given(encoded)
        return changes(before.log_probs, before.lengths)

    def labels(encoded: Any) -> LabelScorer:
        after = frames(encoded)
        return CtcPrefixScorer(after.log_probs, after.lengths)

    # Which blanks collapse depends on what comes before and after them.
    whole = changes.blank_collapse is not None
    return Source(source.what, labels, frames, by_chunk=frozenset() if whole else source.by_chunk)


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
