"""Label scorers that need no model of their own: rewards, coverage, and no score of the end."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from asrkit.scorers.interfaces import (
    EncodedFrames,
    FrameScorer,
    LabelAttention,
    LabelScorer,
    ScoringHead,
    State,
    scores_no_frames,
)


class LengthReward:
    """A head that scores 1 for every label.

    Args:
        num_labels: V.
    """

    partial = True

    def __init__(self, num_labels: int, utterances: Tensor | None = None) -> None:
        self.num_labels = num_labels
        self.utterances = utterances

    def label_scorer(self, encoded: EncodedFrames) -> LabelScorer:
        """Returns the reward for these utterances."""
        return LengthReward(self.num_labels, torch.zeros_like(encoded.lengths))

    def frame_scorer(self, encoded: Any) -> FrameScorer:
        """There are no symbols of frames."""
        raise scores_no_frames("a length reward")

    def initial_state(self) -> State:
        """Returns nothing of interest, with leading axis B."""
        assert self.utterances is not None
        return self.utterances

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        """Returns 1 for labels and 0 for eos: (H, V + 1), or (H, C) of candidates."""
        if candidates is not None:
            return (candidates < self.num_labels).float()
        rewards = torch.ones(len(state), self.num_labels + 1, device=state.device)
        rewards[:, -1] = 0.0
        return rewards

    def advance(self, state: State, labels: Tensor) -> State:
        """Returns nothing of interest, for as many hypotheses."""
        return state

    def subset(self, utterances: Tensor) -> LabelScorer:
        """Returns the reward for some of the utterances."""
        assert self.utterances is not None
        return LengthReward(self.num_labels, self.utterances[utterances])


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


class WithoutEos:
    """A head whose label scorer gives 0 for the end of sentence.

    Args:
        head: The head.
        eos: The id of end of sentence.
    """

    def __init__(self, head: ScoringHead, eos: int) -> None:
        self.head, self.eos = head, eos

    def label_scorer(self, encoded: Any) -> LabelScorer:
        """Returns the scorer, 0 for eos."""
        return _SilentAtEos(self.head.label_scorer(encoded), self.eos)

    def frame_scorer(self, encoded: Any) -> FrameScorer:
        """Returns the frames' scorer as it is: frames have no eos."""
        return self.head.frame_scorer(encoded)


class _SilentAtEos:
    def __init__(self, inner: LabelScorer, eos: int) -> None:
        self.inner, self.eos = inner, eos
        self.partial = inner.partial

    def initial_state(self) -> State:
        return self.inner.initial_state()

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        scores = self.inner.score(state, candidates)
        if candidates is not None:
            return scores.masked_fill(candidates == self.eos, 0.0)
        return torch.cat([scores[:, :-1], torch.zeros_like(scores[:, -1:])], dim=1)

    def advance(self, state: State, labels: Tensor) -> State:
        return self.inner.advance(state, labels)

    def subset(self, utterances: Tensor) -> LabelScorer:
        return _SilentAtEos(self.inner.subset(utterances), self.eos)
