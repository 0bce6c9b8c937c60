"""What toolkits do differently in one step of an LSTM: biases, order of gates, what is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from asrkit.nn.lstm import Biases, LstmState, lstm_step
from asrkit.nn.zoneout import Zoneout

TORCH_GATES = "ifgo"


@dataclass(frozen=True)
class LstmCell:
    """How the LSTMs of a label decoder compute a step.

    Args:
        biases: Whether inputs and state have a bias each, as in PyTorch, or all share one.
        gates: Order of the four gates in weights and biases: i input, f forget, g values, o output.
        forget_bias: Added to the forget gate, on top of its biases.
        read: What the layers above read where zoneout keeps old outputs: those outputs, which the
            next step reads too (zoned), or the new ones (plain).
        share_zoneout: Whether all utterances of a batch keep old values at the same places.

    Raises:
        ValueError: If the order does not name each gate once.

    Source: Krueger et al. 2017 (zoned); `ZoneoutLSTM` of rwth-i6/returnn, returnn/frontend/rec.py,
        with `use_zoneout_output: False` (plain), `parts_order` (gates) and one bias.
    """

    biases: Biases = "two"
    gates: str = TORCH_GATES
    forget_bias: float = 0.0
    read: Literal["zoned", "plain"] = "zoned"
    share_zoneout: bool = False

    def __post_init__(self) -> None:
        if sorted(self.gates) != sorted(TORCH_GATES):
            raise ValueError(f"gates ({self.gates}) must have each of i, f, g and o, such as ifgo")

    def layer(self, input_dim: int, hidden_dim: int) -> nn.LSTMCell:
        """Returns the weights of one LSTM."""
        cell = nn.LSTMCell(input_dim, hidden_dim)
        if self.biases == "one":
            cell.register_parameter("bias_hh", None)
        return cell

    def advance(
        self, cell: nn.LSTMCell, x: Tensor, before: LstmState, zoneout: Zoneout
    ) -> tuple[Tensor, LstmState]:
        """Moves one LSTM by one step.

        Args:
            cell: Its weights.
            x: (H, I).
            before: Outputs and cells (H, D).
            zoneout: Which of them are not updated.

        Returns:
            (H, D) what the layers above read, and new outputs and cells (H, D).
        """
        new = self.step(cell, x, before)
        state = zoneout.mix(before, new, cell.training, self.share_zoneout)
        return (state if self.read == "zoned" else new)[0], state

    def step(self, cell: nn.LSTMCell, x: Tensor, before: LstmState) -> LstmState:
        """Returns outputs and cells (H, D) after another input (H, I), without zoneout."""
        if self.gates == TORCH_GATES and not self.forget_bias:
            return lstm_step(cell, x, before)
        dtype = cell.weight_ih.dtype
        with torch.autocast(x.device.type, enabled=False):
            hidden, past = (part.to(dtype) for part in before)
            sums = torch.addmm(cell.bias_ih, x.to(dtype), cell.weight_ih.T)  # (H, 4 D)
            sums = sums + hidden @ cell.weight_hh.T
            if cell.bias_hh is not None:
                sums = sums + cell.bias_hh
            gate = dict(zip(self.gates, sums.chunk(4, 1), strict=True))
            kept = torch.sigmoid(gate["f"] + self.forget_bias) * past
            new = kept + torch.sigmoid(gate["i"]) * torch.tanh(gate["g"])
            return torch.sigmoid(gate["o"]) * torch.tanh(new), new
