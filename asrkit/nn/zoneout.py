"""Zoneout: LSTM layers with values that randomly keep their previous state."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asrkit.nn.lstm import LstmState, lstm_step, run_lstm


@dataclass(frozen=True)
class Zoneout:
    """Shares of an LSTM's values that are not updated in training; the expectation elsewhere.

    Args:
        cell: Share of cell values.
        output: Share of output values.

    Raises:
        ValueError: If a share is not at least 0 and below 1.

    Source: Krueger et al. 2017, equations 3 and 4.
    """

    cell: float = 0.0
    output: float = 0.0

    def __post_init__(self) -> None:
        for name, share in (("zoneout_cell", self.cell), ("zoneout_output", self.output)):
            if not 0.0 <= share < 1.0:
                raise ValueError(f"{name} ({share}) must be at least 0 and below 1")

    def mix(
        self, old: LstmState, new: LstmState, training: bool, shared: bool = False
    ) -> LstmState:
        """Returns outputs and cells, some not updated; shared: the same ones in all rows."""
        output = _mix(old[0], new[0], self.output, training, shared)
        return output, _mix(old[1], new[1], self.cell, training, shared)

    def run(self, layer: nn.LSTM, x: Tensor, before: LstmState | None) -> tuple[Tensor, LstmState]:
        """Applies a layer to a sequence.

        Args:
            layer: One layer in one direction, batch first.
            x: (B, T, I).
            before: The initial state; zeros where None.

        Returns:
            (B, T, D) outputs, and the state at the end.
        """
        if before is None:
            zeros = x.new_zeros(len(x), layer.hidden_size)
            before = (zeros, zeros)
        # For a single step, as in searches, PyTorch's layer spends more time on the layout of its
        # weights than on products.
        many = layer.training or x.shape[1] > 1
        if many and not (self.cell or self.output):
            state = (before[0][None].contiguous(), before[1][None].contiguous())
            outputs, (hidden, cell) = run_lstm(layer, x, state)
            return outputs, (hidden[0], cell[0])
        state, found = before, []
        for step in x.unbind(1):
            state = self.mix(state, lstm_step(layer, step, state), layer.training)
            found.append(state[0])
        return torch.stack(found, 1), state


def _mix(old: Tensor, new: Tensor, share: float, training: bool, shared: bool) -> Tensor:
    if not share:
        return new
    if not training:
        return share * old + (1 - share) * new
    draws = torch.rand_like(new[:1] if shared else new)
    return torch.where(draws < share, old, new)
