"""Label scorers inside searches over frames, where hypotheses take labels at different times."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from asrkit.scorers.interfaces import LabelScorer, State, join, select

Timer = Callable[[str], AbstractContextManager[None]]


class LabelStates:
    """What the label scorers say of a beam of B x K label strings.

    A scorer moves only for hypotheses that took a label; what it says of the next label is kept
    for all others.

    Args:
        scorers: Label scorers by name.
        weights: Their weights.
        frame: (B, V + 1) of any frame, for sizes.
        timed: Adds the time of a block to that of a scorer.
    """

    def __init__(
        self,
        scorers: dict[str, LabelScorer],
        weights: dict[str, float],
        frame: Tensor,
        timed: Timer,
    ) -> None:
        self.scorers, self.timed = scorers, timed
        self.weights = frame.new_tensor([weights[name] for name in scorers])
        self.states: dict[str, State] = {}
        self.num_utterances = len(frame)
        self.next = frame.new_zeros(len(frame), 1, frame.shape[1], len(scorers))
        """(B, K, V + 1, S): log-probability of each next label, and of eos last."""
        self.sums = frame.new_zeros(len(frame), 1, len(scorers))
        """(B, K, S): the scores of the labels so far."""
        for number, (name, scorer) in enumerate(scorers.items()):
            with timed(name):
                self.states[name] = scorer.initial_state()
                self.next[:, 0, :, number] = scorer.score(self.states[name])

    def weighted(self) -> Tensor:
        """Returns the weighted sum over scorers (B, K, V + 1) for every next label and eos."""
        return self.next @ self.weights

    def advance(self, parents: Tensor, labels: Tensor, emitted: Tensor) -> None:
        """Moves to a new beam.

        Args:
            parents: (B, K') which hypothesis each new one goes on from.
            labels: (B, K') the label that it took; anything where it took none.
            emitted: (B, K') whether it took one.
        """
        if not self.scorers:
            self.sums = self.sums.new_zeros(*parents.shape, 0)
            self.next = self.next.new_zeros(*parents.shape, self.next.shape[2], 0)
            return
        rows = torch.arange(self.num_utterances, device=parents.device)[:, None]
        width = self.next.shape[1]
        index = rows * width + parents  # (B, K') rows of the old states
        gained = self.next[rows, parents, labels.masked_fill(~emitted, 0)]  # (B, K', S)
        self.sums = self.sums[rows, parents] + gained * emitted[..., None]
        following = self.next[rows, parents]
        most = int(emitted.sum(1).max())
        if not most:
            self.next = following
            self.states = {name: select(s, index.flatten()) for name, s in self.states.items()}
            return
        # As many rows for every utterance, as scorers need; too many where fewer took a label.
        order = (~emitted).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]  # (B, E)
        moving = index.gather(1, order).flatten()
        taken = labels.gather(1, order).flatten()
        slot = emitted.long().cumsum(1) - 1  # (B, K') among the utterance's moving ones
        old = self.num_utterances * width
        target = torch.where(emitted, old + rows * most + slot, index).flatten()
        fresh = following.new_zeros(len(rows), most, *following.shape[2:])
        for number, (name, scorer) in enumerate(self.scorers.items()):
            with self.timed(name):
                state = self.states[name]
                moved = scorer.advance(select(state, moving), taken)
                fresh[..., number] = scorer.score(moved).view(self.num_utterances, most, -1)
                self.states[name] = select(join(state, moved), target)
        picked = fresh[rows, slot.clamp(min=0, max=most - 1)]
        self.next = torch.where(emitted[..., None, None], picked, following)
