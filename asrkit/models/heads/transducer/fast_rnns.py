"""Networks that step in every frame of a transducer, and see the symbols of all frames before.

The prediction network (SlowRNN) moves where there is a label. A FastRNN moves in every frame: it
reads the frame, what the prediction network says, and the symbol of the last frame, blank or
label. What it says depends on the whole alignment so far, not only on its labels. So there is no
lattice in which paths meet, hence no sum over alignments: it is trained on given ones. In search,
hypotheses with the same labels still become one, which continues from the state of the better.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrkit.config.registry import Registry
from asrkit.nn.bias import Bias
from asrkit.nn.dropout import Dropout
from asrkit.nn.lstm import Biases, make_lstm
from asrkit.nn.switchout import Switchout
from asrkit.nn.zoneout import Zoneout
from asrkit.scorers.interfaces import State
from asrkit.text.outputs import Outputs


class FastRnn(nn.Module, ABC):
    """Replaces the frame by a vector that depends on the alignment so far.

    Implementations set `dim` (S), the size of what comes out; `needs_alignment`, whether it
    depends on more than the frame; and `decides_blank`, whether blank's logit comes from it only.
    """

    dim: int
    needs_alignment: bool
    decides_blank: bool = False

    @abstractmethod
    def forward(self, frames: Tensor, predicted: Tensor, symbols: Tensor) -> Tensor:
        """Reads whole alignments.

        Args:
            frames: (B, T, D).
            predicted: (B, T, P) what the prediction network says before each frame's symbol.
            symbols: (B, T) labels or V for blank; a frame's own is not read for its output.

        Returns:
            (B, T, S), the same as step by step.
        """

    @abstractmethod
    def begin(self, size: int) -> State:
        """Returns the state before the first frame of H = size hypotheses."""

    @abstractmethod
    def step(
        self, state: State, frames: Tensor, predicted: Tensor, last: Tensor
    ) -> tuple[Tensor, State]:
        """Steps by a frame.

        Args:
            state: Before it.
            frames: (H, D) the frame.
            predicted: (H, P) what the prediction network says.
            last: (H,) symbols of the frame before; V where there is none.

        Returns:
            (H, S) and the new states.
        """


fast_rnns: Registry[FastRnn] = Registry(
    "fast_rnn", FastRnn, late=("outputs", "frame_dim", "predictor_dim")
)


@fast_rnns.register("none")
class NoFastRnn(FastRnn):
    """The frame as it is, whatever the alignment.

    Args:
        outputs: The V labels and blank.
        frame_dim: D of the frames.
        predictor_dim: P of the prediction network.
    """

    needs_alignment = False

    def __init__(self, outputs: Outputs, frame_dim: int, predictor_dim: int) -> None:
        super().__init__()
        self.dim = frame_dim

    def forward(self, frames: Tensor, predicted: Tensor, symbols: Tensor) -> Tensor:
        """Returns the frames (B, T, D)."""
        return frames

    def begin(self, size: int) -> State:
        """Returns no state."""
        return None

    def step(
        self, state: State, frames: Tensor, predicted: Tensor, last: Tensor
    ) -> tuple[Tensor, State]:
        """Returns the frames (H, D)."""
        return frames, state


@fast_rnns.register("lstm")
class FastLstm(FastRnn):
    """One LSTM over frames, what the prediction network says, and the symbols before.

    Args:
        outputs: The V labels and blank.
        frame_dim: D of the frames.
        predictor_dim: P of the prediction network.
        hidden_dim: Size of the LSTM.
        embedding_dim: Size of the embeddings of labels and blank.
        dropout: Of all that comes in.
        switchout: Probability that a symbol is replaced by a random one in training, half of the
            times by blank.
        decides_blank: Whether blank's logit comes from the LSTM, without the readout.
        zoneout_cell: Share of cell values that keep their old value in training.
        zoneout_output: Share of output values that keep their old value in training.
        biases: Of the LSTM: two, as in PyTorch, or one, as in RETURNN.
        embedding_bias: Whether a bias, the same for all symbols, is added to their embeddings.

    Raises:
        ValueError: If a probability or share is none.

    Source: the FastRNN of Zeyer et al. 2020, "A new training pipeline for an improved neural
        transducer"; Krueger et al. 2017 (zoneout). The symbol before the first frame is blank.
    """

    needs_alignment = True

    def __init__(
        self,
        outputs: Outputs,
        frame_dim: int,
        predictor_dim: int,
        hidden_dim: int,
        embedding_dim: int,
        dropout: float = 0.3,
        switchout: float = 0.0,
        decides_blank: bool = False,
        zoneout_cell: float = 0.0,
        zoneout_output: float = 0.0,
        biases: Biases = "two",
        embedding_bias: bool = False,
    ) -> None:
        super().__init__()
        self.dim, self.blank, self.decides_blank = hidden_dim, outputs.blank, decides_blank
        self.embedding = nn.Embedding(len(outputs), embedding_dim)
        self.embedding_bias = Bias(embedding_dim) if embedding_bias else nn.Identity()
        self.layer = make_lstm(predictor_dim + embedding_dim + frame_dim, hidden_dim, biases)
        self.dropout = Dropout(dropout, shareable=False)
        self.switchout = Switchout(switchout, outputs.num_labels, blank_share=0.5)
        self.zoneout = Zoneout(zoneout_cell, zoneout_output)

    def forward(self, frames: Tensor, predicted: Tensor, symbols: Tensor) -> Tensor:
        """Returns (B, T, hidden_dim) for whole alignments."""
        last = F.pad(self.switchout(symbols), (1, 0), value=self.blank)[:, :-1]
        return self.zoneout.run(self.layer, self._inputs(frames, predicted, last), None)[0]

    def begin(self, size: int) -> State:
        """Returns zeros: outputs and cells (H, hidden_dim)."""
        zeros = self.embedding.weight.new_zeros(size, self.dim)
        return zeros, zeros

    def step(
        self, state: State, frames: Tensor, predicted: Tensor, last: Tensor
    ) -> tuple[Tensor, State]:
        """Returns (H, hidden_dim) in the next frame, and the states."""
        inputs = self._inputs(frames, predicted, last)[:, None]
        outputs, after = self.zoneout.run(self.layer, inputs, state)
        return outputs[:, 0], after

    def _inputs(self, frames: Tensor, predicted: Tensor, last: Tensor) -> Tensor:
        # Frames come last: their size grows with the encoder, and the numbers keep their places.
        parts = [predicted, self.embedding_bias(self.embedding(last)), frames]
        inputs: Tensor = self.dropout(torch.cat(parts, -1))
        return inputs
