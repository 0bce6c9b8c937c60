"""What a transducer head says in search where its states depend on the labels alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from asrkit.lattice.topologies import Topology
from asrkit.losses.symbols import SymbolDistribution
from asrkit.models.heads.transducer.frame_contexts import FrameContext
from asrkit.models.heads.transducer.label_rnns import LabelRnn
from asrkit.models.predictors.interfaces import Predictor
from asrkit.scorers.interfaces import State
from asrkit.text.outputs import Outputs


class LabelSide(Protocol):
    """All that these scorers know of a head."""

    outputs: Outputs
    predictor: Predictor
    label_rnn: LabelRnn
    context: FrameContext
    blank: SymbolDistribution

    def project_labels(self, predicted: Tensor) -> Tensor:
        """Returns the labels' part of the joiner's sum: (..., J) from predictions (..., D)."""
        ...

    def logits(self, sums: Tensor) -> Tensor:
        """Returns unnormalised scores (..., V + 1) of sums (..., J)."""
        ...


@dataclass(frozen=True)
class TransducerScorer:
    """Scores the symbols of frames, given the labels so far.

    A state is the labels' part of the joiner's sum (H, J), and the states of the predictor and of
    the label RNN.

    Args:
        head: Joiner and predictor.
        frames: (B, T, J) the frames' part of the joiner's sum.
        lengths: (B,) valid frames.
        topology: What may follow what.
    """

    head: LabelSide
    frames: Tensor
    lengths: Tensor
    topology: Topology

    @property
    def blank(self) -> int:
        """The id of blank, which is also read before the first frame."""
        return self.head.outputs.blank

    def initial_state(self) -> State:
        """Returns the states of the B empty hypotheses."""
        return _begin(self.head, len(self.frames))

    def enter(self, state: State, last: Tensor, frame: int) -> State:
        """Returns the same states: they are those of the labels."""
        return state

    def score(self, state: State, frame: int) -> Tensor:
        """Returns log-probabilities (H, V + 1) of the frame's symbols, blank last."""
        labels = state[0].view(len(self.frames), -1, self.frames.shape[2])
        sums = (labels + self.frames[:, frame, None]).flatten(0, 1)
        return self.head.blank.log_probs(self.head.logits(sums))

    def advance(self, state: State, labels: Tensor) -> State:
        """Returns the states after one more label (H,); H may be any number."""
        return _advance(self.head, state, labels)


class TransducerLm:
    """The internal language model: next labels without frames and blank; nothing (0) of eos.

    Args:
        head: Joiner and predictor.
        num_utterances: B.
    """

    partial = False

    def __init__(self, head: LabelSide, num_utterances: int) -> None:
        self.head, self.num_utterances = head, num_utterances

    def initial_state(self) -> State:
        """Returns the states of the B empty hypotheses."""
        return _begin(self.head, self.num_utterances)

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        """Returns log-probabilities (H, V + 1), or (H, C) of candidates."""
        labels = self.head.logits(state[0])[:, :-1].log_softmax(1)
        scores = torch.cat([labels, torch.zeros_like(labels[:, :1])], dim=1)
        return scores if candidates is None else scores.gather(1, candidates)

    def advance(self, state: State, labels: Tensor) -> State:
        """Returns the states after one more label (H,)."""
        return _advance(self.head, state, labels)

    def subset(self, utterances: Tensor) -> TransducerLm:
        """Returns the scorer of some of the utterances."""
        return TransducerLm(self.head, len(utterances))


def _begin(head: LabelSide, size: int) -> State:
    predicted, state = head.predictor.begin(size)
    return _read(head, predicted, state, head.label_rnn.begin(size))


def _advance(head: LabelSide, state: State, labels: Tensor) -> State:
    predicted, following = head.predictor.step(state[1], labels)
    return _read(head, predicted, following, state[2])


def _read(head: LabelSide, predicted: Tensor, labels: State, before: State) -> State:
    nothing = predicted.new_zeros(len(predicted), head.context.dim)
    said, after = head.label_rnn.step(before, predicted, nothing)
    return head.project_labels(said), labels, after
