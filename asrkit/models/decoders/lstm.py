"""The LSTM decoder with location-aware attention over the frames."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from asrkit.models.decoders.interfaces import AttendingDecoder, decoders
from asrkit.nn.dropout import Dropout
from asrkit.nn.lstm_cell import LstmCell
from asrkit.nn.zoneout import Zoneout
from asrkit.scorers.interfaces import State
from asrkit.text.outputs import Outputs

Memory = tuple[Tensor, Tensor, Tensor, Tensor]
"""Frames (B, T, D), their attention keys (B, T, A), inverse fertility (B, T), mask (B, T)."""


@decoders.register("lstm")
class LstmDecoder(AttendingDecoder):
    """LSTMs over labels and attention, an MLP attention that knows what was attended, a readout.

    Args:
        outputs: The V labels and end of sentence, which is read before the first label too.
        encoder_dim: D of the frames.
        embedding_dim: Size of label embeddings.
        hidden_dim: Size of the LSTM.
        attention_dim: A, size inside the attention.
        readout_dim: Size of the readout before maxout halves it.
        dropout: Before the output layer.
        embedding_dropout: Of label embeddings, those read before the first label too.
        zoneout_cell: Share of cell values that keep their old value in training.
        zoneout_output: Share of output values that keep their old value in training.
        lstm: How an LSTM computes a step.
        first_input: What is read before the first label: the embedding of end of sentence, or zeros
            in its place.
        num_layers: LSTMs; each reads the one below, and attention and readout the last.

    Raises:
        ValueError: If the readout can't be halved, a zoneout is not a share, or there is no LSTM.

    Source: Zeyer et al. 2018, section 2; Krueger et al. 2017 (zoneout); with one bias, the plain
        outputs read and zeros first as in rwth-i6/i6_experiments,
        users/zeyer/experiments/exp2023_04_25_rf; with dropout of embeddings as there in
        users/zeineldeen/models/asr/decoder/rnn_decoder.py; Chan et al. 2016, section 3.2 (more
        LSTMs).
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
        lstm: LstmCell = LstmCell(),  # noqa: B008 - has no state
        first_input: Literal["eos", "zeros"] = "eos",
        num_layers: int = 1,
        embedding_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if readout_dim % 2:
            raise ValueError(f"readout_dim ({readout_dim}) must be even: maxout halves it")
        if num_layers < 1:
            raise ValueError(f"num_layers ({num_layers}) must be at least 1")
        self.eos, self.first_input, self.lstm = outputs.eos, first_input, lstm
        self.embedding_dim, self.context_dim = embedding_dim, encoder_dim
        self.embedding = nn.Embedding(len(outputs), embedding_dim)
        self.embedding_dropout = Dropout(embedding_dropout)
        self.cell = lstm.layer(embedding_dim + encoder_dim, hidden_dim)
        self.key = nn.Linear(encoder_dim, attention_dim, bias=False)
        self.query = nn.Linear(hidden_dim, attention_dim)
        self.feedback = nn.Linear(1, attention_dim, bias=False)
        self.energy = nn.Linear(attention_dim, 1, bias=False)
        self.inverse_fertility = nn.Linear(encoder_dim, 1, bias=False)
        self.readout = nn.Linear(hidden_dim + embedding_dim + encoder_dim, readout_dim)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(readout_dim // 2, len(outputs))
        self.zoneout = Zoneout(zoneout_cell, zoneout_output)
        self.upper = nn.ModuleList(
            lstm.layer(hidden_dim, hidden_dim) for _ in range(num_layers - 1)
        )

    def forward(self, labels: Tensor, frames: Tensor | None, mask: Tensor) -> Tensor:
        """Returns unnormalised scores (B, L, V + 1) of the label after each position."""
        embedded = self._embed_all(labels)
        hidden, attended, _ = self._unroll(embedded, frames, mask)
        return self._scores(hidden, embedded, attended)

    def attention_weights(self, labels: Tensor, frames: Tensor, mask: Tensor) -> Tensor:
        """Returns the attention (B, L, T) of each position."""
        return self._unroll(self._embed_all(labels), frames, mask)[2]

    def begin(self, frames: Tensor | None, mask: Tensor) -> Memory:
        """Returns frames, keys, inverse fertility and mask; attention to no frames gives zeros."""
        if frames is None:
            frames = self.key.weight.new_zeros(len(mask), 0, self.key.in_features)
        fertility = torch.sigmoid(self.inverse_fertility(frames)).squeeze(2)
        return frames, self.key(frames), fertility, mask

    def initial_state(self, memory: Memory) -> State:
        """Returns zeros: LSTM output and cell, attended frame, accumulated attention, upper LSTMs.

        Of each upper LSTM there are output and cell.
        """
        frames, _, _, mask = memory
        zeros = frames.new_zeros(len(mask), self.cell.hidden_size)
        upper = [(zeros, zeros) for _ in self.upper]
        attended, past = frames.new_zeros(len(mask), frames.shape[2]), mask.to(frames.dtype) * 0
        return zeros, zeros, attended, past, upper

    def step(self, state: State, labels: Tensor, memory: Memory) -> tuple[Tensor, State]:
        """Returns log-probabilities (H, V + 1) after one more label (H,), and new states."""
        embedded = self.embed(labels)
        hidden, state, _ = self._advance(state, embedded, memory)
        scores = self._scores(hidden, embedded, state[2])
        return torch.log_softmax(scores.float(), dim=1), state

    def on_frames(self, state: State, memory: Memory) -> State:
        """Returns the states of hypotheses (H, ...) to whose new frames was not attended yet."""
        output, cell, attended, _, upper = state
        return output, cell, attended, memory[3].to(attended.dtype) * 0, upper

    @torch.no_grad()
    def attention_step(self, state: State, labels: Tensor, memory: Memory) -> tuple[Tensor, State]:
        """Returns the attention (H, T) after one more label (H,), and new states."""
        _, state, weights = self._advance(state, self.embed(labels), memory)
        return weights, state

    def embed(self, labels: Tensor) -> Tensor:
        """Returns embeddings (..., E) of labels (...); of end of sentence, what is read first."""
        embedded: Tensor = self.embedding(labels)
        if self.first_input == "zeros":
            return embedded.masked_fill((labels == self.eos)[..., None], 0.0)
        return embedded

    def in_context(self, labels: Tensor, context: Tensor) -> Tensor:
        """Returns unnormalised scores (B, L, V + 1), the attended frames (B, L, D) being given."""
        embedded = self._embed_all(labels)
        nothing = torch.zeros(len(labels), 0, dtype=torch.bool, device=labels.device)
        state = self.initial_state(self.without_frames(nothing))
        found = []
        for each, attended in zip(embedded.unbind(1), context.unbind(1), strict=True):
            hidden, state = self._recur(state, each)
            state = (*state[:2], attended, *state[3:])
            found.append(hidden)
        return self._scores(torch.stack(found, 1), embedded, context)

    def step_in_context(
        self, state: State, labels: Tensor, context: Tensor
    ) -> tuple[Tensor, State]:
        """Returns log-probabilities (H, V + 1) and states, the attended frames (H, D) given."""
        embedded = self.embed(labels)
        hidden, state = self._recur(state, embedded)
        scores = self._scores(hidden, embedded, context)
        return torch.log_softmax(scores.float(), dim=1), (*state[:2], context, *state[3:])

    def _embed_all(self, labels: Tensor) -> Tensor:
        """Returns embeddings (B, L, E), which LSTM and readout read with the same dropout."""
        embedded: Tensor = self.embedding_dropout(self.embed(labels))
        return embedded

    def _unroll(
        self, embeddings: Tensor, frames: Tensor | None, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        masks = [mask] * embeddings.shape[1] if mask.dim() == 2 else list(mask.unbind(1))
        memory = self.begin(frames, masks[0])
        state = self.initial_state(memory)
        found, attended, weights = [], [], []
        for embedded, seen in zip(embeddings.unbind(1), masks, strict=True):
            hidden, state, weight = self._advance(state, embedded, (*memory[:3], seen))
            found.append(hidden)
            attended.append(state[2])
            weights.append(weight)
        return torch.stack(found, 1), torch.stack(attended, 1), torch.stack(weights, 1)

    def _advance(
        self, state: State, embedded: Tensor, memory: Memory
    ) -> tuple[Tensor, State, Tensor]:
        """Moves (H, ...) states by one label; returns LSTM outputs, them, and attention (H, T)."""
        frames, keys, fertility, mask = memory
        hidden, (output, cell, _, accumulated, upper) = self._recur(state, embedded)
        utterances = len(mask)
        each = len(hidden) // utterances  # where there are no frames, -1 would be ambiguous
        query = self.query(hidden).view(utterances, each, 1, keys.shape[2])
        past = self.feedback(accumulated.view(utterances, each, mask.shape[1], 1))
        energy = self.energy(torch.tanh(keys[:, None] + query + past)).squeeze(3)
        weights = energy.masked_fill(~mask[:, None], float("-inf")).softmax(2)  # (B, H / B, T)
        attended = (weights @ frames).flatten(0, 1)
        grown = accumulated + 0.5 * (weights * fertility[:, None]).flatten(0, 1)
        return hidden, (output, cell, attended, grown, upper), weights.flatten(0, 1)

    def _recur(self, state: State, embedded: Tensor) -> tuple[Tensor, State]:
        """Moves the LSTMs on, after what was attended before; returns what is read, and states."""
        output, cell, attended, accumulated, upper = state
        x = torch.cat([embedded, attended], dim=1)
        x, (output, cell) = self.lstm.advance(self.cell, x, (output, cell), self.zoneout)
        states = []
        for layer, before in zip(self.upper, upper, strict=True):
            assert isinstance(layer, nn.LSTMCell)
            x, after = self.lstm.advance(layer, x, before, self.zoneout)
            states.append(after)
        return x, (output, cell, attended, accumulated, states)

    def _scores(self, hidden: Tensor, embedded: Tensor, attended: Tensor) -> Tensor:
        """Returns unnormalised scores (..., V + 1)."""
        joined = self.readout(torch.cat([hidden, embedded, attended], dim=-1))
        strongest = joined.unflatten(-1, (-1, 2)).amax(-1)  # maxout of pairs
        scores: Tensor = self.output(self.dropout(strongest))
        return scores
