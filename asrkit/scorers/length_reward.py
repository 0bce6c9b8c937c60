"""A reward, or penalty, for every label."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from asrkit.scorers.entries import Scorer, scorers
from asrkit.scorers.interfaces import EncodedFrames, LabelScorer, State
from asrkit.scorers.loader import Loader
from asrkit.scorers.sources import Source


@scorers.register("length")
@dataclass(frozen=True)
class LengthScorer(Scorer):
    """Scores 1 for every label and 0 for the end.

    Args:
        weight: Reward of a label; negative for a penalty.
    """

    weight: float

    @property
    def rewards(self) -> bool:
        """True: what it adds is positive."""
        return True

    def find(self, name: str, loader: Loader) -> Source:
        """Returns the reward."""
        return length_reward(len(loader.vocabulary))


def length_reward(num_labels: int) -> Source:
    """Returns the source of a score of 1 for every one of V labels."""

    def labels(encoded: EncodedFrames) -> LabelScorer:
        return LengthReward(num_labels, encoded.lengths)

    return Source("a length reward", labels, by_chunk=frozenset({"labels"}))


class LengthReward:
    """Scores 1 for every label and 0 for eos; a state has nothing of interest.

    Args:
        num_labels: V.
        utterances: (B,) any integers, for their number and device.
    """

    partial = True

    def __init__(self, num_labels: int, utterances: Tensor) -> None:
        self.num_labels, self.utterances = num_labels, utterances

    def initial_state(self) -> State:
        """Returns the states (B,) of the empty hypotheses."""
        return self.utterances

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        """Returns 1 for labels and 0 for eos: (H, V + 1), or (H, C) of candidates."""
        if candidates is not None:
            return (candidates < self.num_labels).float()
        rewards = torch.ones(len(state), self.num_labels + 1, device=state.device)
        rewards[:, -1] = 0.0
        return rewards

    def advance(self, state: State, labels: Tensor) -> State:
        """Returns the states of as many hypotheses."""
        return state

    def subset(self, utterances: Tensor) -> LabelScorer:
        """Returns the reward for some of the utterances."""
        return LengthReward(self.num_labels, self.utterances[utterances])
