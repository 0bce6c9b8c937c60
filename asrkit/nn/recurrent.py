"""Bidirectional LSTM layers on padded frames."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asrkit.nn.lstm import run_lstm


class BidirectionalLstm(nn.Module):
    """One bidirectional LSTM layer; padding never reaches a valid frame.

    Args:
        input_dim: Size of the frames that come in.
        hidden_dim: Size per direction.
    """

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_dim, hidden_dim, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Returns (B, T, 2 · hidden_dim) for frames (B, T, input_dim)."""
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        result, _ = pad_packed_sequence(
            run_lstm(self.lstm, packed)[0], batch_first=True, total_length=x.shape[1]
        )
        return result
