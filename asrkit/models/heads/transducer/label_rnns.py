"""Networks between a transducer's prediction network and its joiner, which see frames too.

Like the prediction network, a label RNN moves where there is a label only; but then it also reads
the context of the frame after that label (of the first frame, where there is no label yet). So
what it says depends on where the labels are, not only on which: there is no lattice in which paths
meet, and it is trained on given alignments, as FastRNNs are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from asrkit.config.registry import Registry
from asrkit.nn.dropout import Dropout
from asrkit.nn.lstm import Biases, make_lstm
from asrkit.nn.zoneout import Zoneout
from asrkit.scorers.interfaces import State


class LabelRnn(nn.Module, ABC):
    """Replaces what the prediction network says by what depends on places of labels too.

    Implementations set `dim` (L), the size of what comes out; and `needs_alignment`, whether it
    depends on more than the labels.
    """

    dim: int
    needs_alignment: bool

    @abstractmethod
    def forward(self, predicted: Tensor, attended: Tensor) -> Tensor:
        """Reads whole label sequences.

        Args:
            predicted: (B, U + 1, P) after 0 to U labels.
            attended: (B, U + 1, C) contexts of the frames after them.

        Returns:
            (B, U + 1, L), the same as step by step.
        """

    @abstractmethod
    def begin(self, size: int) -> State:
        """Returns the state before anything is read, for H = size hypotheses."""

    @abstractmethod
    def step(self, state: State, predicted: Tensor, attended: Tensor) -> tuple[Tensor, State]:
        """Reads (H, P) after one more label, and the context (H, C) of the frame that follows.

        Returns:
            (H, L) and the new states.
        """


label_rnns: Registry[LabelRnn] = Registry(
    "label_rnn", LabelRnn, late=("predictor_dim", "context_dim")
)


@label_rnns.register("none")
class NoLabelRnn(LabelRnn):
    """What the prediction network says, wherever the labels are.

    Args:
        predictor_dim: P of the prediction network.
        context_dim: C of the frames' contexts.
    """

    needs_alignment = False

    def __init__(self, predictor_dim: int, context_dim: int) -> None:
        super().__init__()
        self.dim = predictor_dim

    def forward(self, predicted: Tensor, attended: Tensor) -> Tensor:
        """Returns what was predicted (B, U + 1, P)."""
        return predicted

    def begin(self, size: int) -> State:
        """Returns no state."""
        return None

    def step(self, state: State, predicted: Tensor, attended: Tensor) -> tuple[Tensor, State]:
        """Returns what was predicted (H, P)."""
        return predicted, state


@label_rnns.register("lstm")
class LabelLstm(LabelRnn):
    """One LSTM over what the prediction network says and the contexts of frames.

    Args:
        predictor_dim: P of the prediction network.
        context_dim: C of the frames' contexts.
        hidden_dim: Size of the LSTM.
        dropout: Of all that comes in.
        zoneout_cell: Share of cell values that keep their old value in training.
        zoneout_output: Share of output values that keep their old value in training.
        biases: Of the LSTM: two, as in PyTorch, or one, as in RETURNN.

    Raises:
        ValueError: If frames have no context, or a probability or share is none.

    Source: the SlowRNN of Zeyer et al. 2020, "A new training pipeline for an improved neural
        transducer"; Krueger et al. 2017 (zoneout).
    """

    needs_alignment = True

    def __init__(
        self,
        predictor_dim: int,
        context_dim: int,
        hidden_dim: int,
        dropout: float = 0.2,
        zoneout_cell: float = 0.0,
        zoneout_output: float = 0.0,
        biases: Biases = "two",
    ) -> None:
        super().__init__()
        if not context_dim:
            raise ValueError(
                "label_rnn reads the context of frames, but they have none; expected context: "
                "window_attention, or label_rnn: none with an LSTM as predictor"
            )
        self.dim = hidden_dim
        self.layer = make_lstm(predictor_dim + context_dim, hidden_dim, biases)
        self.dropout = Dropout(dropout, shareable=False)
        self.zoneout = Zoneout(zoneout_cell, zoneout_output)

    def forward(self, predicted: Tensor, attended: Tensor) -> Tensor:
        """Returns (B, U + 1, hidden_dim) for whole label sequences."""
        return self.zoneout.run(self.layer, self._inputs(predicted, attended), None)[0]

    def begin(self, size: int) -> State:
        """Returns zeros: outputs and cells (H, hidden_dim)."""
        zeros = next(self.parameters()).new_zeros(size, self.dim)
        return zeros, zeros

    def step(self, state: State, predicted: Tensor, attended: Tensor) -> tuple[Tensor, State]:
        """Returns (H, hidden_dim) after one more label, and the states."""
        inputs = self._inputs(predicted, attended)[:, None]
        outputs, after = self.zoneout.run(self.layer, inputs, state)
        return outputs[:, 0], after

    def _inputs(self, predicted: Tensor, attended: Tensor) -> Tensor:
        # Contexts come last: their size grows with the encoder, and the numbers keep their places.
        inputs: Tensor = self.dropout(torch.cat([predicted, attended], -1))
        return inputs
