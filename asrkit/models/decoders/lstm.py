"""The LSTM decoder with location-aware attention over the frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asrkit.models.decoders.interfaces import AttendingDecoder, decoders
from asrkit.nn.dropout import Dropout
from asrkit.nn.lstm import lstm_step
from asrkit.nn.zoneout import Zoneout
from asrkit.scorers.interfaces import State
from asrkit.text.outputs import Outputs

Memory = tuple[Tensor, Tensor, Tensor, Tensor]
"""Frames (B, T, D), their attention keys (B, T, A), inverse fertility (B, T), mask (B, T)."""


@decoders.register("lstm")
class LstmDecoder(AttendingDecoder):
    """One LSTM over labels and attention, an MLP attention that knows what was attended, a readout.

    Args:
        outputs: The V labels and end of sentence, which is read before the first label too.
        encoder_dim: D of the frames.
        embedding_dim: Size of label embeddings.
        hidden_dim: Size of the LSTM.
        attention_dim: A, size inside the attention.
        readout_dim: Size of the readout before maxout halves it.
        dropout: Before the output layer.
        zoneout_cell: Share of cell values that keep their old value in training.
        zoneout_output: Share of output values that keep their old value in training.

    Raises:
        ValueError: If the readout can't be halved, or a zoneout is not a share.

    Source: Zeyer et al. 2018, section 2; Krueger et al. 2017 (zoneout).
    """

    def __init__(
        self,
        outputs: Outputs,
        encoder_dim: int,
        embedding_dim: int,
        hidden_dim: int,
        attention_dim: int,
        readout_dim: int,
        dropout: float = 0.3,
        zoneout_cell: float = 0.0,
        zoneout_output: float = 0.0,
    ) -> None:
        super().__init__()
        if readout_dim % 2:
            raise ValueError(f"readout_dim ({readout_dim}) must be even: maxout halves it")
        self.embedding_dim, self.context_dim = embedding_dim, encoder_dim
        self.embedding = nn.Embedding(len(outputs), embedding_dim)
        self.cell = nn.LSTMCell(embedding_dim + encoder_dim, hidden_dim)
        self.key = nn.Linear(encoder_dim, attention_dim, bias=False)
        self.query = nn.Linear(hidden_dim, attention_dim)
        self.feedback = nn.Linear(1, attention_dim, bias=False)
        self.energy = nn.Linear(attention_dim, 1, bias=False)
        self.inverse_fertility = nn.Linear(encoder_dim, 1, bias=False)
        self.readout = nn.Linear(hidden_dim + embedding_dim + encoder_dim, readout_dim)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(readout_dim // 2, len(outputs))
        self.zoneout = Zoneout(zoneout_cell, zoneout_output)

    def forward(self, labels: Tensor, frames: Tensor | None, mask: Tensor) -> Tensor:
        """Returns unnormalised scores (B, L, V + 1) of the label after each position."""
        hidden, attended, _ = self._unroll(labels, frames, mask)
        return self._scores(hidden, self.embedding(labels), attended)

    def attention_weights(self, labels: Tensor, frames: Tensor, mask: Tensor) -> Tensor:
        """Returns the attention (B, L, T) of each position."""
        return self._unroll(labels, frames, mask)[2]

    def begin(self, frames: Tensor | None, mask: Tensor) -> Memory:
        """Returns frames, keys, inverse fertility and mask; attention to no frames gives zeros."""
        if frames is None:
            frames = self.key.weight.new_zeros(len(mask), 0, self.key.in_features)
        fertility = torch.sigmoid(self.inverse_fertility(frames)).squeeze(2)
        return frames, self.key(frames), fertility, mask

    def initial_state(self, memory: Memory) -> State:
        """Returns zeros: LSTM output and cell, attended frame, accumulated attention."""
        frames, _, _, mask = memory
        zeros = frames.new_zeros(len(mask), self.cell.hidden_size)
        return zeros, zeros, frames.new_zeros(len(mask), frames.shape[2]), mask.to(frames.dtype) * 0

    def step(self, state: State, labels: Tensor, memory: Memory) -> tuple[Tensor, State]:
        """Returns log-probabilities (H, V + 1) after one more label (H,), and new states."""
        embedded = self.embedding(labels)
        state, _ = self._advance(state, embedded, memory)
        scores = self._scores(state[0], embedded, state[2])
        return torch.log_softmax(scores.float(), dim=1), state

    def on_frames(self, state: State, memory: Memory) -> State:
        """Returns the states of hypotheses (H, ...) to whose new frames was not attended yet."""
        hidden, cell, attended, _ = state
        return hidden, cell, attended, memory[3].to(attended.dtype) * 0

    @torch.no_grad()
    def attention_step(self, state: State, labels: Tensor, memory: Memory) -> tuple[Tensor, State]:
        """Returns the attention (H, T) after one more label (H,), and new states."""
        state, weights = self._advance(state, self.embedding(labels), memory)
        return weights, state

    def embed(self, labels: Tensor) -> Tensor:
        """Returns embeddings (..., E) of labels (...)."""
        embedded: Tensor = self.embedding(labels)
        return embedded

    def in_context(self, labels: Tensor, context: Tensor) -> Tensor:
        """Returns unnormalised scores (B, L, V + 1), the attended frames (B, L, D) being given."""
        embedded = self.embedding(labels)
        nothing = torch.zeros(len(labels), 0, dtype=torch.bool, device=labels.device)
        state = self.initial_state(self.without_frames(nothing))
        hidden = []
        for each, attended in zip(embedded.unbind(1), context.unbind(1), strict=True):
            state = (*self._recur(state, each), attended, state[3])
            hidden.append(state[0])
        return self._scores(torch.stack(hidden, 1), embedded, context)

    def step_in_context(
        self, state: State, labels: Tensor, context: Tensor
    ) -> tuple[Tensor, State]:
        """Returns log-probabilities (H, V + 1) and states, the attended frames (H, D) given."""
        embedded = self.embedding(labels)
        state = (*self._recur(state, embedded), context, state[3])
        scores = self._scores(state[0], embedded, context)
        return torch.log_softmax(scores.float(), dim=1), state

    def _unroll(
        self, labels: Tensor, frames: Tensor | None, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        masks = [mask] * labels.shape[1] if mask.dim() == 2 else list(mask.unbind(1))
        memory = self.begin(frames, masks[0])
        state = self.initial_state(memory)
        hidden, attended, weights = [], [], []
        for embedded, seen in zip(self.embedding(labels).unbind(1), masks, strict=True):
            state, weight = self._advance(state, embedded, (*memory[:3], seen))
            hidden.append(state[0])
            attended.append(state[2])
            weights.append(weight)
        return torch.stack(hidden, 1), torch.stack(attended, 1), torch.stack(weights, 1)

    def _advance(self, state: State, embedded: Tensor, memory: Memory) -> tuple[State, Tensor]:
        """Moves (H, ...) states by one label; returns them and the attention (H, T)."""
        accumulated = state[3]
        frames, keys, fertility, mask = memory
        hidden, cell = self._recur(state, embedded)
        utterances = len(mask)
        each = len(hidden) // utterances  # where there are no frames, -1 would be ambiguous
        query = self.query(hidden).view(utterances, each, 1, keys.shape[2])
        past = self.feedback(accumulated.view(utterances, each, mask.shape[1], 1))
        energy = self.energy(torch.tanh(keys[:, None] + query + past)).squeeze(3)
        weights = energy.masked_fill(~mask[:, None], float("-inf")).softmax(2)  # (B, H / B, T)
        attended = (weights @ frames).flatten(0, 1)
        grown = accumulated + 0.5 * (weights * fertility[:, None]).flatten(0, 1)
        return (hidden, cell, attended, grown), weights.flatten(0, 1)

    def _recur(self, state: State, embedded: Tensor) -> tuple[Tensor, Tensor]:
        """Returns output and cell (H, ...) of the LSTM after what was attended before."""
        hidden, cell, attended, _ = state
        new = lstm_step(self.cell, torch.cat([embedded, attended], dim=1), (hidden, cell))
        return self.zoneout.mix((hidden, cell), new, self.training)

    def _scores(self, hidden: Tensor, embedded: Tensor, attended: Tensor) -> Tensor:
        joined = self.readout(torch.cat([hidden, embedded, attended], dim=-1))
        strongest = joined.unflatten(-1, (-1, 2)).amax(-1)  # maxout of pairs
        scores: Tensor = self.output(self.dropout(strongest))
        return scores
