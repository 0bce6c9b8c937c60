"""A transducer's scores in search, where they depend on the symbols of all frames before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from asrkit.decoding.interfaces import State
from asrkit.losses.topologies import Topology
from asrkit.models.fast_rnns import FastRnn
from asrkit.models.predictors.interfaces import Predictor


@dataclass(frozen=True)
class FastScorer:
    """Scores the symbols of frames along each hypothesis' own alignment.

    A state is what the prediction network says (H, P) and its state, the state of the FastRNN, and
    the log-probabilities (H, V + 1) of the current frame.

    Args:
        predictor: Moves where there is a label.
        fast: Moves in every frame.
        log_probs: From outputs of the FastRNN (H, S), a part of the joiner's sum (H, J) and
            predictions (H, P) to log-probabilities (H, V + 1).
        frames: (B, T, D) what the FastRNN reads.
        contexts: (B, T, J) what each frame adds to the joiner's sum whatever the alignment.
        lengths: (B,) valid frames.
        topology: What may follow what.
        num_symbols: V + 1.
    """

    predictor: Predictor
    fast: FastRnn
    log_probs: Callable[[Tensor, Tensor, Tensor], Tensor]
    frames: Tensor
    contexts: Tensor
    lengths: Tensor
    topology: Topology
    num_symbols: int

    def initial_state(self) -> State:
        """Returns the states of the B empty hypotheses, which are in no frame: scores are 0."""
        predicted, state = self.predictor.begin(len(self.frames))
        fast = self.fast.begin(len(self.frames))
        unknown = self.frames.new_zeros(len(self.frames), self.num_symbols)
        return predicted, state, fast, unknown

    def enter(self, state: State, last: Tensor, frame: int) -> State:
        """Returns the states after the FastRNN has read a frame and the symbols (H,) before it."""
        predicted, labels, before, _ = state
        repeat = len(last) // len(self.frames)
        frames = self.frames[:, frame].repeat_interleave(repeat, 0)
        contexts = self.contexts[:, frame].repeat_interleave(repeat, 0)
        fast, after = self.fast.step(before, frames, predicted, last)
        return predicted, labels, after, self.log_probs(fast, contexts, predicted)

    def score(self, state: State, frame: int) -> Tensor:
        """Returns log-probabilities (H, V + 1) in the frame that was entered last, blank last."""
        scores: Tensor = state[3]
        return scores

    def advance(self, state: State, labels: Tensor) -> State:
        """Returns the states after one more label (H,); its frame is the same until the next."""
        predicted, following = self.predictor.step(state[1], labels)
        return predicted, following, state[2], state[3]
