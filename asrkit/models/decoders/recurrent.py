"""A stack of LSTM layers over labels, without frames: the recurrent language model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asrkit.models.decoders.interfaces import LabelDecoder, decoders
from asrkit.nn.dropout import Dropout
from asrkit.nn.lstm import autocast_lstm, run_lstm
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
        tied: Whether the output layer has the weights of the embedding, which is then multiplied by
            the root of its size where it is read; outputs of another size are brought to it by a
            linear layer.
        autocast: Whether LSTMs, too, compute in the precision of `training.update`; otherwise in
            that of their weights. In bf16 they are twice as fast on CPUs with instructions for it.
        unused_outputs: How many outputs come after end of sentence that are never a label, but take
            probability: other toolkits also have blank in this softmax.

    Raises:
        ValueError: If there are frames.

    Source: Sundermeyer et al. 2012, section 2; Press and Wolf 2017 (tied).
    """

    def __init__(
        self,
        outputs: Outputs,
        encoder_dim: int | None,
        embedding_dim: int,
        hidden_dim: int,
        num_layers: int,
        dropout: float = 0.0,
        tied: bool = False,
        autocast: bool = False,
        unused_outputs: int = 0,
    ) -> None:
        super().__init__()
        self.num_outputs = len(outputs)
        if encoder_dim is not None:
            raise ValueError("a stacked_lstm reads no frames: use it in a language_model")
        self.embedding = nn.Embedding(len(outputs) + unused_outputs, embedding_dim)
        sizes = [embedding_dim] + [hidden_dim] * (num_layers - 1)
        self.layers = nn.ModuleList(nn.LSTM(size, hidden_dim, batch_first=True) for size in sizes)
        self.dropout = Dropout(dropout)
        self.hidden_dim, self.tied, self.autocast = hidden_dim, tied, autocast
        self.narrow: nn.Module = nn.Identity()
        if tied and hidden_dim != embedding_dim:
            self.narrow = nn.Linear(hidden_dim, embedding_dim)
        self.output = nn.Linear(
            embedding_dim if tied else hidden_dim, len(outputs) + unused_outputs
        )
        if tied:
            nn.init.normal_(self.embedding.weight, std=embedding_dim**-0.5)
            self.output.weight = self.embedding.weight

    def forward(self, labels: Tensor, frames: Tensor | None, mask: Tensor) -> Tensor:
        """Returns unnormalised scores (B, L, V + 1) of the label after each position."""
        scores: Tensor = self.output(self.hidden(labels, frames, mask))
        return scores

    def hidden(self, labels: Tensor, frames: Tensor | None, mask: Tensor) -> Tensor:
        """Returns what the output layer reads (B, L, D)."""
        run = autocast_lstm if self.autocast else run_lstm
        x = self._embed(labels)
        for layer in self.layers:
            assert isinstance(layer, nn.LSTM)
            x = self.dropout(run(layer, x)[0])
        narrowed: Tensor = self.narrow(x)
        return narrowed

    def begin(self, frames: Tensor | None, mask: Tensor) -> Tensor:
        """Returns the mask (B, 0): only its size matters."""
        return mask

    def initial_state(self, memory: Tensor) -> State:
        """Returns zeros: output and cell of each layer."""
        zeros = self.output.weight.new_zeros(len(memory), self.hidden_dim)
        return [(zeros, zeros) for _ in self.layers]

    @torch.no_grad()
    def step(self, state: State, labels: Tensor, memory: Tensor) -> tuple[Tensor, State]:
        """Returns log-probabilities (H, V + 1) after one more label (H,), and new states."""
        x = self._embed(labels)[:, None]
        states = []
        for layer, before in zip(self.layers, state, strict=True):
            assert isinstance(layer, nn.LSTM)
            x, after = Zoneout().run(layer, x, before)
            x = self.dropout(x)
            states.append(after)
        scores = self.output(self.narrow(x[:, 0]))
        log_probs = torch.log_softmax(scores.float(), dim=1)
        return log_probs[:, : self.num_outputs], states

    def _embed(self, labels: Tensor) -> Tensor:
        embedded: Tensor = self.embedding(labels)
        if self.tied:
            embedded = embedded * self.embedding.embedding_dim**0.5
        return self.dropout(embedded)  # type: ignore[no-any-return]
