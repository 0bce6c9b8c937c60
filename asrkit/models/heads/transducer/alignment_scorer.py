"""A transducer's scores in search, where they depend on the symbols of all frames before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from asrkit.lattice.topologies import Topology
from asrkit.models.heads.transducer.fast_rnns import FastRnn
from asrkit.models.heads.transducer.label_rnns import LabelRnn
from asrkit.models.predictors.interfaces import Predictor
from asrkit.scorers.interfaces import State, join, select


@dataclass(frozen=True)
class AlignmentScorer:
    """Scores the symbols of frames along each hypothesis' own alignment.

    A state is what the prediction network says (H, P) and its state; whether the label RNN has
    still to read that (H,), what it said (H, L) and its state; the state of the FastRNN; and the
    log-probabilities (H, V + 1) of the current frame.

    Args:
        predictor: Moves where there is a label.
        label_rnn: Moves in the frame after a label.
        fast: Moves in every frame.
        log_probs: From outputs of the FastRNN (H, S), a part of the joiner's sum (H, J) and
            outputs of the label RNN (H, L) to log-probabilities (H, V + 1).
        frames: (B, T, D) what the FastRNN reads.
        attended: (B, T, C) the frames' contexts, which the label RNN reads.
        contexts: (B, T, J) what they add to the joiner's sum whatever the alignment.
        lengths: (B,) valid frames.
        topology: What may follow what.
        num_symbols: V + 1.
    """

    predictor: Predictor
    label_rnn: LabelRnn
    fast: FastRnn
    log_probs: Callable[[Tensor, Tensor, Tensor], Tensor]
    frames: Tensor
    attended: Tensor
    contexts: Tensor
    lengths: Tensor
    topology: Topology
    num_symbols: int

    @property
    def blank(self) -> int:
        """V."""
        return self.num_symbols - 1

    def initial_state(self) -> State:
        """Returns the states of the B empty hypotheses, which are in no frame: scores are 0."""
        size = len(self.frames)
        predicted, labels = self.predictor.begin(size)
        unread = torch.ones(size, dtype=torch.bool, device=self.frames.device)
        said = self.frames.new_zeros(size, self.label_rnn.dim)
        unknown = self.frames.new_zeros(size, self.num_symbols)
        networks = (said, self.label_rnn.begin(size)), self.fast.begin(size)
        return predicted, labels, unread, *networks, unknown

    def enter(self, state: State, last: Tensor, frame: int) -> State:
        """Returns the states after the RNNs have read a frame and the symbols (H,) before it."""
        predicted, labels, unread, before, fast, _ = state
        repeat = len(last) // len(self.frames)
        frames, attended, contexts = (
            each[:, frame].repeat_interleave(repeat, 0)
            for each in (self.frames, self.attended, self.contexts)
        )
        said, slow = self._read(unread, before, predicted, attended)
        outputs, after = self.fast.step(fast, frames, said, last)
        scores = self.log_probs(outputs, contexts, said)
        return predicted, labels, torch.zeros_like(unread), (said, slow), after, scores

    def score(self, state: State, frame: int) -> Tensor:
        """Returns log-probabilities (H, V + 1) in the frame that was entered last, blank last."""
        scores: Tensor = state[5]
        return scores

    def advance(self, state: State, labels: Tensor) -> State:
        """Returns the states after one more label (H,); its frame is the same until the next."""
        _, before, unread, *others = state
        predicted, following = self.predictor.step(before, labels)
        return predicted, following, torch.ones_like(unread), *others

    def _read(self, unread: Tensor, before: State, predicted: Tensor, attended: Tensor) -> State:
        """Returns outputs and states of the label RNN: new ones where there is a new label."""
        after = self.label_rnn.step(before[1], predicted, attended)
        rows = torch.arange(len(unread), device=unread.device)
        return select(join(after, before), torch.where(unread, rows, rows + len(rows)))
