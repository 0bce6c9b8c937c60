"""A stack of LSTM layers over labels, without frames: the recurrent language model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asrkit.models.decoders.interfaces import LabelDecoder, decoders
from asrkit.nn.dropout import Dropout
from asrkit.nn.lstm import run_lstm
from asrkit.nn.zoneout import Zoneout
from asrkit.scorers.interfaces import State
from asrkit.text.outputs import Outputs


@decoders.register("stacked_lstm")
class StackedLstmDecoder(LabelDecoder):
    """Embedding, LSTM layers, output; for language models only.

    Args:
        outputs: The V labels and end of sentence, which is read before the first label too.
        encoder_dim: None: it reads no frames.
        embedding_dim: Size of label embeddings.
        hidden_dim: Size of each LSTM.
        num_layers: Number of LSTMs.
        dropout: After the embedding and after every LSTM.

    Raises:
        ValueError: If there are frames.

    Source: Sundermeyer et al. 2012, section 2.
    """

    def __init__(
        self,
        outputs: Outputs,
        encoder_dim: int | None,
        embedding_dim: int,
        hidden_dim: int,
        num_layers: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if encoder_dim is not None:
            raise ValueError("a stacked_lstm reads no frames: use it in a language_model")
        self.embedding = nn.Embedding(len(outputs), embedding_dim)
        sizes = [embedding_dim] + [hidden_dim] * (num_layers - 1)
        self.layers = nn.ModuleList(nn.LSTM(size, hidden_dim, batch_first=True) for size in sizes)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(hidden_dim, len(outputs))

    def forward(self, labels: Tensor, frames: Tensor | None, mask: Tensor) -> Tensor:
        """Returns unnormalised scores (B, L, V + 1) of the label after each position."""
        x = self.dropout(self.embedding(labels))
        for layer in self.layers:
            assert isinstance(layer, nn.LSTM)
            x = self.dropout(run_lstm(layer, x)[0])
        scores: Tensor = self.output(x)
        return scores

    def begin(self, frames: Tensor | None, mask: Tensor) -> Tensor:
        """Returns the mask (B, 0): only its size matters."""
        return mask

    def initial_state(self, memory: Tensor) -> State:
        """Returns zeros: output and cell of each layer."""
        zeros = self.output.weight.new_zeros(len(memory), self.output.in_features)
        return [(zeros, zeros) for _ in self.layers]

    @torch.no_grad()
    def step(self, state: State, labels: Tensor, memory: Tensor) -> tuple[Tensor, State]:
        """Returns log-probabilities (H, V + 1) after one more label (H,), and new states."""
        x = self.dropout(self.embedding(labels))[:, None]
        states = []
        for layer, before in zip(self.layers, state, strict=True):
            assert isinstance(layer, nn.LSTM)
            x, after = Zoneout().run(layer, x, before)
            x = self.dropout(x)
            states.append(after)
        return torch.log_softmax(self.output(x[:, 0]).float(), dim=1), states
