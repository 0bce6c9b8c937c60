"""The prediction network that remembers all labels: LSTM layers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from asrkit.models.predictors.interfaces import Predictor, predictors
from asrkit.nn.bias import Bias
from asrkit.nn.dropout import Dropout
from asrkit.nn.lstm import Biases, make_lstm
from asrkit.nn.switchout import Switchout
from asrkit.nn.zoneout import Zoneout
from asrkit.scorers.interfaces import State
from asrkit.text.outputs import Outputs


@predictors.register("lstm")
class LstmPredictor(Predictor):
    """Embedding and LSTM layers over all labels so far.

    Args:
        inputs: The V labels, and begin of sentence, which is read before them.
        embedding_dim: Size of label embeddings.
        hidden_dim: Size of each LSTM.
        num_layers: Number of LSTMs.
        dropout: After the embedding and between LSTMs.
        switchout: Probability that a label is replaced by a random one in training.
        zoneout_cell: Share of cell values that keep their old value in training.
        zoneout_output: Share of output values that keep their old value in training.
        biases: Of each LSTM: two, as in PyTorch, or one, as in RETURNN.
        embedding_bias: Whether a bias, the same for all labels, is added to their embeddings.

    Raises:
        ValueError: If a probability or share is none.

    Source: Graves 2012, section 2.1; Zeyer et al. 2020 (SlowRNN); Krueger et al. 2017 (zoneout).
    """

    def __init__(
        self,
        inputs: Outputs,
        embedding_dim: int,
        hidden_dim: int,
        num_layers: int = 1,
        dropout: float = 0.1,
        switchout: float = 0.0,
        zoneout_cell: float = 0.0,
        zoneout_output: float = 0.0,
        biases: Biases = "two",
        embedding_bias: bool = False,
    ) -> None:
        super().__init__()
        self.zoneout = Zoneout(zoneout_cell, zoneout_output)
        self.switchout = Switchout(switchout, inputs.num_labels)
        self.dim, self.bos = hidden_dim, inputs.bos
        self.embedding = nn.Embedding(len(inputs), embedding_dim)
        self.embedding_bias = Bias(embedding_dim) if embedding_bias else nn.Identity()
        sizes = [embedding_dim] + [hidden_dim] * (num_layers - 1)
        self.layers = nn.ModuleList(make_lstm(size, hidden_dim, biases) for size in sizes)
        self.dropout = Dropout(dropout)

    def forward(self, labels: Tensor) -> Tensor:
        """Returns (B, U + 1, hidden_dim) after 0 to U labels."""
        x = self._embed(F.pad(self.switchout(labels), (1, 0), value=self.bos))
        for layer in self._lstms():
            x = self.zoneout.run(layer, self.dropout(x), None)[0]
        return x

    def begin(self, size: int) -> tuple[Tensor, State]:
        """Returns the outputs (H, hidden_dim) and states after begin of sentence."""
        zeros = self.embedding.weight.new_zeros(size, self.dim)
        bos = zeros.new_full((size,), self.bos).long()
        return self.step([(zeros, zeros) for _ in self.layers], bos)

    def step(self, state: State, labels: Tensor) -> tuple[Tensor, State]:
        """Returns outputs (H, hidden_dim) and states after one more label (H,)."""
        x = self._embed(labels)[:, None]
        states = []
        for layer, before in zip(self._lstms(), state, strict=True):
            x, after = self.zoneout.run(layer, self.dropout(x), before)
            states.append(after)
        return x[:, 0], states

    def _embed(self, labels: Tensor) -> Tensor:
        embedded: Tensor = self.embedding_bias(self.embedding(labels))
        return embedded

    def _lstms(self) -> list[nn.LSTM]:
        return [layer for layer in self.layers if isinstance(layer, nn.LSTM)]
