"""Zoneout: LSTM layers with values that randomly keep their previous state."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from asrkit.nn.applied import Applied
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
    applied: Applied = field(default_factory=Applied, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, share in (("zoneout_cell", self.cell), ("zoneout_output", self.output)):
            if not 0.0 <= share < 1.0:
                raise ValueError(f"{name} ({share}) must be at least 0 and below 1")

    def mix(
        self, old: LstmState, new: LstmState, training: bool, shared: bool = False
    ) -> LstmState:
        """Returns outputs and cells, some not updated; shared: the same ones in all rows."""
        found = []
        for name, share, before, after in zip(
            ("kept_outputs", "kept_cells"), (self.output, self.cell), old, new, strict=True
        ):
            if not share:
                found.append(after)
            elif not training:
                found.append(share * before + (1 - share) * after)
            else:
                kept = torch.rand_like(after[:1] if shared else after) < share
                if self.applied.sampled:
                    self.applied.count(name, kept.sum(), kept.numel())
                found.append(torch.where(kept, before, after))
        return found[0], found[1]

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
