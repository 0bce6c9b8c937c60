"""Label scorers inside searches over frames, where hypotheses take labels at different times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from asrkit.scorers.interfaces import LabelScorer, State, join, select

Timer = Callable[[str], AbstractContextManager[None]]


class LabelStates:
    """What the label scorers say of a beam of B x H label strings, the empty ones at first.

    A scorer moves only for hypotheses that took a label; what it says of the next label is kept
    for all others.

    Args:
        scorers: Label scorers by name.
        weights: Their weights.
        lengths: (B,) any integers, for their number and device.
        timed: Adds the time of a block to that of a scorer.
    """

    def __init__(
        self,
        scorers: Mapping[str, LabelScorer],
        weights: Mapping[str, float],
        lengths: Tensor,
        timed: Timer,
    ) -> None:
        self.scorers, self.timed = scorers, timed
        chosen = [weights[name] for name in scorers]
        self.weights = torch.tensor(chosen, dtype=torch.float32, device=lengths.device)  # (S,)
        self.states: dict[str, State] = {}
        self.num_utterances = len(lengths)
        first = []
        for name, scorer in scorers.items():
            with timed(name):
                self.states[name] = scorer.initial_state()
                first.append(scorer.score(self.states[name]))  # (B, V + 1)
        width = first[0].shape[1] if first else 1
        self.next = self.weights.new_zeros(len(lengths), 1, width, len(first))
        """(B, H, V + 1, S): log-probability of each next label, and of eos last; (B, H, 1, 0) if
        there are no scorers."""
        self.sums = self.weights.new_zeros(len(lengths), 1, len(first))
        """(B, H, S): the scores of the labels so far."""
        for number, scores in enumerate(first):
            self.next[:, 0, :, number] = scores

    def weighted(self) -> Tensor:
        """Returns the weighted sum over scorers (B, H, V + 1) for every next label and eos.

        Without scorers, the zeros (B, H, 1).
        """
        return self.next @ self.weights

    def advance(self, parents: Tensor, labels: Tensor, emitted: Tensor) -> None:
        """Moves to a new beam.

        Args:
            parents: (B, H') which hypothesis each new one continues.
            labels: (B, H') the label that it took; anything where it took none.
            emitted: (B, H') whether it took one.
        """
        if not self.scorers:
            self.sums = self.sums.new_zeros(*parents.shape, 0)
            self.next = self.next.new_zeros(*parents.shape, self.next.shape[2], 0)
            return
        rows = torch.arange(self.num_utterances, device=parents.device)[:, None]
        width = self.next.shape[1]
        index = rows * width + parents  # (B, H') rows of the old states
        labels = labels.masked_fill(~emitted, 0)  # what is no label may be none of a scorer's
        gained = self.next[rows, parents, labels]  # (B, H', S)
        self.sums = self.sums[rows, parents] + gained * emitted[..., None]  # (B, H', S)
        following = self.next[rows, parents]  # (B, H', V + 1, S)
        most = int(emitted.sum(1).max())
        if not most:
            self.next = following
            self.states = {name: select(s, index.flatten()) for name, s in self.states.items()}
            return
        # As many rows for every utterance, as scorers need; too many where fewer took a label.
        order = (~emitted).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]  # (B, E)
        moving = index.gather(1, order).flatten()  # (B * E,)
        taken = labels.gather(1, order).flatten()  # (B * E,)
        slot = emitted.long().cumsum(1) - 1  # (B, H') among the utterance's moving ones
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
