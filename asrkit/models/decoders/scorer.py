"""What a label decoder says in search, label by label: next labels, and where it attends to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from asrkit.models.decoders.interfaces import AttendingDecoder, LabelDecoder
from asrkit.scorers.interfaces import State, select


@dataclass(frozen=True)
class DecoderAttention:
    """How a label decoder attends to the frames for the label after those so far.

    Args:
        decoder: The decoder.
        memory: What it computed from the frames, leading axis B.
        lengths: (B,) valid frames.
        num_labels: V, the id of the first input, too.
    """

    decoder: AttendingDecoder
    memory: Any
    lengths: Tensor
    num_labels: int

    def initial_state(self) -> tuple[Tensor, State]:
        """Returns the attention (B, T) for the first labels, and the states of empty hypotheses."""
        bos = torch.full_like(self.lengths, self.num_labels)
        return self.advance(self.decoder.initial_state(self.memory), bos)

    def advance(self, state: State, labels: Tensor) -> tuple[Tensor, State]:
        """Returns the attention (H, T) for the label after one more (H,), and new states."""
        return self.decoder.attention_step(state, labels, self.memory)

    def subset(self, utterances: Tensor) -> DecoderAttention:
        """Returns the attention of some of the utterances."""
        memory = select(self.memory, utterances)
        lengths = self.lengths[utterances]
        return DecoderAttention(self.decoder, memory, lengths, self.num_labels)


class DecoderScorer:
    """Scores next labels with a label decoder; keeps each hypothesis' scores in its state.

    Args:
        decoder: The decoder.
        memory: What it computed from the frames, leading axis B.
        lengths: (B,) valid frames.
        eos: The id of end of sentence, and of the first input.
    """

    partial = False

    def __init__(self, decoder: LabelDecoder, memory: Any, lengths: Tensor, eos: int) -> None:
        self.decoder, self.memory, self.lengths, self.eos = decoder, memory, lengths, eos

    def initial_state(self) -> State:
        """Returns the states of the B empty hypotheses."""
        bos = torch.full_like(self.lengths, self.eos)
        return self.decoder.step(self.decoder.initial_state(self.memory), bos, self.memory)

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        """Returns log-probabilities (H, V + 1), or (H, C) of candidates."""
        log_probs: Tensor = state[0]
        return log_probs if candidates is None else log_probs.gather(1, candidates)

    def advance(self, state: State, labels: Tensor) -> State:
        """Returns the states after one more label (H,)."""
        return self.decoder.step(state[1], labels, self.memory)

    def subset(self, utterances: Tensor) -> DecoderScorer:
        """Returns the scorer of some of the utterances."""
        memory = select(self.memory, utterances)
        return DecoderScorer(self.decoder, memory, self.lengths[utterances], self.eos)
