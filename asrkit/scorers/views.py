"""What scorers see of a head other than its plain scores, such as its internal language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asrkit.errors import UserError
from asrkit.scorers.ctc_prefix import CtcPrefixScorer
from asrkit.scorers.interfaces import (
    AttendingHead,
    EosFrameHead,
    EstimatedLm,
    FrameScorer,
    InternalLmHead,
    LabelScorer,
    ScoringHead,
    scores_no_frames,
)
from asrkit.scorers.label_scorers import CoveredFrames


class InternalLm:
    """The language model inside a head.

    Args:
        head: An attention or transducer head.

    Raises:
        UserError: If there is none inside.
    """

    def __init__(self, head: ScoringHead) -> None:
        if not isinstance(head, InternalLmHead):
            raise UserError(
                f"it has no internal language model: it is of type {type(head).__name__}, and "
                "reads no labels"
            )
        self.head = head

    def label_scorer(self, encoded: Any) -> LabelScorer:
        """Returns the head's scores without frames."""
        return self.head.internal_lm(encoded)

    def frame_scorer(self, encoded: Any) -> FrameScorer:
        """There are no symbols of frames."""
        raise scores_no_frames("an internal language model")


class TrainedInternalLm:
    """A language model that was trained as the internal one of a head.

    Args:
        head: The head.
        model: The language model.
        where: Its run, for messages.

    Raises:
        UserError: If it is not that of this head.
    """

    def __init__(self, head: ScoringHead, model: ScoringHead, where: str) -> None:
        if not isinstance(model, EstimatedLm) or not model.stands_beside(head):
            raise UserError(
                f"{where} is not its internal language model: expected a mini_lstm whose decoder "
                "has the weights of this head; train it with the weights of the decoded "
                "checkpoint imported"
            )
        self.model = model

    def label_scorer(self, encoded: Any) -> LabelScorer:
        """Returns the language model's scores."""
        return self.model.label_scorer(encoded)

    def frame_scorer(self, encoded: Any) -> FrameScorer:
        """There are no symbols of frames."""
        raise scores_no_frames("an internal language model")


class LostEos:
    """A CTC head for which eos is a label; searches see its frames without eos' probability.

    Args:
        head: The head.

    Raises:
        UserError: If it is no CTC head.
    """

    def __init__(self, head: ScoringHead) -> None:
        if not isinstance(head, EosFrameHead):
            kind = type(head).__name__
            raise UserError(f"mask_eos: false needs a CTC head, got one of type {kind}")
        self.head = head

    def frame_scorer(self, encoded: Any) -> FrameScorer:
        """Returns the frames without eos."""
        return self.head.frames_without_eos(encoded)

    def label_scorer(self, encoded: Any) -> LabelScorer:
        """Returns prefix scores over the frames without eos."""
        frames = self.frame_scorer(encoded)
        return CtcPrefixScorer(frames.log_probs, frames.lengths)


@dataclass(frozen=True)
class Coverage:
    """How many frames a head has attended to, where its attention to one adds up.

    Args:
        head: An attention head.
        threshold: Attention from which on a frame counts.

    Raises:
        UserError: If it is no attention head.
    """

    head: ScoringHead
    threshold: float

    def __post_init__(self) -> None:
        if not isinstance(self.head, AttendingHead):
            kind = type(self.head).__name__
            raise UserError(f"coverage needs an attention head, got one of type {kind}")

    def label_scorer(self, encoded: Any) -> LabelScorer:
        """Returns the scorer of newly covered frames."""
        assert isinstance(self.head, AttendingHead)
        return CoveredFrames(self.head.label_attention(encoded), self.threshold)

    def frame_scorer(self, encoded: Any) -> FrameScorer:
        """There are no symbols of frames."""
        raise scores_no_frames("coverage")
