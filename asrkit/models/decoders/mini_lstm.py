"""The internal language model of an attention decoder, estimated by a small LSTM next to it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asrkit.config.registry import Factory
from asrkit.models.decoders.interfaces import AttendingDecoder, LabelDecoder, decoders
from asrkit.nn.lstm import run_lstm
from asrkit.scorers.interfaces import State
from asrkit.text.outputs import Outputs


@decoders.register("mini_lstm")
class MiniLstmDecoder(LabelDecoder):
    """The decoder of a speech model without audio: a small LSTM replaces its attention.

    The LSTM reads the decoder's label embeddings; a linear layer turns its output into what
    attention would give. Both are trained on transcripts in a language_model, while the decoder is
    imported from the speech model and frozen.

    Args:
        outputs: The V labels and end of sentence, which is read before the first label too.
        encoder_dim: None: it reads no frames.
        decoder: The one of the speech model.
        frame_dim: D of the frames that the speech model's decoder reads.
        units: Of the LSTM.

    Raises:
        ValueError: If there are frames, or the decoder has no attention.

    Source: Zeineldeen et al. 2021 (mini-LSTM), with 50 units; in a Transformer decoder what is
        replaced is the output of each layer's attention to the frames.
    """

    def __init__(
        self,
        outputs: Outputs,
        encoder_dim: int | None,
        decoder: Factory[LabelDecoder],
        frame_dim: int,
        units: int = 50,
    ) -> None:
        super().__init__()
        if encoder_dim is not None:
            raise ValueError("a mini_lstm reads no frames: use it in a language_model")
        made = decoder(outputs=outputs, encoder_dim=frame_dim)
        if not isinstance(made, AttendingDecoder):
            raise ValueError(f"decoder: a {type(made).__name__} has no attention to stand in for")
        self.decoder = made
        self.lstm = nn.LSTM(made.embedding_dim, units, batch_first=True)
        self.context = nn.Linear(units, made.context_dim)

    def forward(self, labels: Tensor, frames: Tensor | None, mask: Tensor) -> Tensor:
        """Returns unnormalised scores (B, L, V + 1) of the label after each position."""
        hidden, _ = run_lstm(self.lstm, self.decoder.embed(labels))
        return self.decoder.in_context(labels, self.context(hidden))

    def begin(self, frames: Tensor | None, mask: Tensor) -> Tensor:
        """Returns the mask (B, 0): only its size matters."""
        return mask

    def initial_state(self, memory: Tensor) -> State:
        """Returns output and cell of the LSTM, zeros, and the decoder's state."""
        zeros = self.context.weight.new_zeros(len(memory), self.lstm.hidden_size)
        return zeros, zeros, self.decoder.initial_state(self.decoder.without_frames(memory))

    @torch.no_grad()
    def step(self, state: State, labels: Tensor, memory: Tensor) -> tuple[Tensor, State]:
        """Returns log-probabilities (H, V + 1) after one more label (H,), and new states."""
        hidden, cell, inner = state
        before = (hidden[None].contiguous(), cell[None].contiguous())
        _, (hidden, cell) = run_lstm(self.lstm, self.decoder.embed(labels)[:, None], before)
        context = self.context(hidden[0])
        log_probs, inner = self.decoder.step_in_context(inner, labels, context)
        return log_probs, (hidden[0], cell[0], inner)
