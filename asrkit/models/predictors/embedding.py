"""The prediction network that remembers one label: its embedding."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrkit.models.predictors.interfaces import Predictor, predictors
from asrkit.nn.dropout import Dropout
from asrkit.nn.switchout import Switchout
from asrkit.scorers.interfaces import State
from asrkit.text.outputs import Outputs


@predictors.register("embedding")
class EmbeddingPredictor(Predictor):
    """The embedding of the last label as it is, for an RNN of labels to read.

    Args:
        inputs: The V labels, and begin of sentence, which is read before them.
        dim: D, size of the embedding.
        dropout: After the embedding.
        switchout: Probability that a label is replaced by a random one in training.

    Raises:
        ValueError: If a probability is none.

    Source: `input_embed` of rwth-i6/returnn-experiments, 2020-rnn-transducer (rna3c-lm4a).
    """

    def __init__(
        self, inputs: Outputs, dim: int, dropout: float = 0.1, switchout: float = 0.0
    ) -> None:
        super().__init__()
        self.dim, self.bos = dim, inputs.bos
        self.embedding = nn.Embedding(len(inputs), dim)
        self.dropout = Dropout(dropout)
        self.switchout = Switchout(switchout, inputs.num_labels)

    def forward(self, labels: Tensor) -> Tensor:
        """Returns (B, U + 1, D) after 0 to U labels."""
        read = F.pad(self.switchout(labels), (1, 0), value=self.bos)  # (B, U + 1)
        embedded: Tensor = self.dropout(self.embedding(read))
        return embedded

    def begin(self, size: int) -> tuple[Tensor, State]:
        """Returns the outputs (H, D), and as state the last labels (H,): no label yet."""
        none = torch.full((size,), self.bos, device=self.embedding.weight.device)
        return self.step(none, none)

    def step(self, state: State, labels: Tensor) -> tuple[Tensor, State]:
        """Returns outputs (H, D) and states after one more label (H,)."""
        embedded: Tensor = self.dropout(self.embedding(labels))
        return embedded, labels
