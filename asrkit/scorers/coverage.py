"""Coverage: how many frames a hypothesis has attended to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from asrkit.scorers.entries import OfHead, scorers
from asrkit.scorers.interfaces import AttentionSource, LabelAttention, LabelScorer, State
from asrkit.scorers.loader import Loader
from asrkit.scorers.sources import Source, unfit


@scorers.register("coverage")
@dataclass(frozen=True)
class CoverageScorer(OfHead):
    """Scores the frames that a hypothesis attended to, each once, however often it did.

    It keeps a search from leaving a part of the utterance out; going over one part again gains
    nothing. The decoder runs once more for it.

    Args:
        weight: Reward of a frame.
        head: Name of the attention head.
        run: Run folder of another model with the same vocabulary.
        checkpoint: Of that run.
        threshold: Attention from which on a frame counts, added up over the labels.
        eos: Whether frames that are first attended to at the end of the sentence count.

    Raises:
        ValueError: If the threshold is not positive.

    Source: Chorowski and Jaitly 2017, section 3: the number of frames j whose attention, added up
        over the labels i so far, is above the threshold, sum_j [sum_i a_ij > 0.5]; of several heads
        of attention, the mean over those of the last layer counts.
    """

    head: str = "attention"
    threshold: float = 0.5
    eos: bool = True

    def __post_init__(self) -> None:
        if not self.threshold > 0:
            raise ValueError(f"threshold ({self.threshold}) must be positive")

    @property
    def rewards(self) -> bool:
        """True: what it adds is positive."""
        return True

    def find(self, name: str, loader: Loader) -> Source:
        """Returns the head's coverage."""
        found = self.found(name, loader)
        head = found.head
        if not isinstance(head, AttentionSource):
            raise unfit(found.what, "has no attention to frames", "an attention head")

        def labels(encoded: Any) -> LabelScorer:
            return CoveredFrames(head.label_attention(encoded), self.threshold)

        return Source(f"the coverage of {found.what}", labels).reading(found.pick)


class CoveredFrames:
    """Scores how many frames a label newly covers: those whose attention, added up, passes a bound.

    The sum over a hypothesis with eos is the number of frames that it covers. A state is that
    number's last increase (H,), the attention so far (H, T), and the decoder's state.

    Args:
        attention: How the decoder attends.
        threshold: Attention from which on a frame counts.
    """

    partial = False

    def __init__(self, attention: LabelAttention, threshold: float) -> None:
        self.attention, self.threshold = attention, threshold

    def initial_state(self) -> State:
        """Returns the states of the B empty hypotheses."""
        weights, state = self.attention.initial_state()
        return self._covered(weights), weights, state

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        """Returns the frames that are newly covered, the same for all labels and eos."""
        width = self.attention.num_labels + 1 if candidates is None else candidates.shape[1]
        increase: Tensor = state[0][:, None].expand(-1, width)
        return increase

    def advance(self, state: State, labels: Tensor) -> State:
        """Returns the states after one more label (H,)."""
        _, before, inner = state
        weights, inner = self.attention.advance(inner, labels)
        total = before + weights
        return self._covered(total) - self._covered(before), total, inner

    def subset(self, utterances: Tensor) -> LabelScorer:
        """Returns the scorer of some of the utterances."""
        return CoveredFrames(self.attention.subset(utterances), self.threshold)

    def _covered(self, total: Tensor) -> Tensor:
        return (total > self.threshold).sum(1).float()
