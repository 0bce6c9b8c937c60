"""The prediction network that remembers a few labels: embeddings and a convolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrkit.models.predictors.interfaces import Predictor, predictors
from asrkit.nn.dropout import Dropout
from asrkit.nn.switchout import Switchout
from asrkit.scorers.interfaces import State
from asrkit.text.outputs import Outputs


@predictors.register("stateless")
class StatelessPredictor(Predictor):
    """Embeddings of the last labels, combined by a convolution in each dimension, and ReLU.

    Args:
        inputs: The V labels, and begin of sentence, which is read before them.
        dim: D, size of embeddings and of what comes out.
        context: How many labels are remembered.
        dropout: After the embedding.
        switchout: Probability that a label is replaced by a random one in training.

    Raises:
        ValueError: If no label is remembered, or a probability is none.

    Source: Ghodsi et al. 2020, "RNN-transducer with stateless prediction network"; more than one
        label by a convolution.
    """

    def __init__(
        self,
        inputs: Outputs,
        dim: int,
        context: int = 2,
        dropout: float = 0.1,
        switchout: float = 0.0,
    ) -> None:
        super().__init__()
        if context < 1:
            raise ValueError(f"context ({context}) must be at least 1")
        self.dim, self.context, self.bos = dim, context, inputs.bos
        self.embedding = nn.Embedding(len(inputs), dim)
        self.convolution = nn.Conv1d(dim, dim, context, groups=dim)
        self.dropout = Dropout(dropout)
        self.switchout = Switchout(switchout, inputs.num_labels)

    def forward(self, labels: Tensor) -> Tensor:
        """Returns (B, U + 1, D) after 0 to U labels."""
        padded = F.pad(self.switchout(labels), (self.context, 0), value=self.bos)
        x = self.dropout(self.embedding(padded)).transpose(1, 2)
        return F.relu(self.convolution(x)).transpose(1, 2)

    def begin(self, size: int) -> tuple[Tensor, State]:
        """Returns the outputs (H, D), and as state the last labels (H, context): no label yet."""
        device = self.embedding.weight.device
        last = torch.full((size, self.context), self.bos, device=device)
        return self._output(last), last

    def step(self, state: State, labels: Tensor) -> tuple[Tensor, State]:
        """Returns outputs (H, D) and states after one more label (H,)."""
        last = torch.cat([state[:, 1:], labels[:, None]], dim=1)
        return self._output(last), last

    def _output(self, last: Tensor) -> Tensor:
        """Returns (H, D) after the last labels (H, context)."""
        x = self.dropout(self.embedding(last)).transpose(1, 2)
        return F.relu(self.convolution(x)).squeeze(2)
