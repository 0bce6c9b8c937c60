"""Bidirectional LSTM layers on padded frames."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asrkit.nn.lstm import Biases, make_lstm, run_lstm


class BidirectionalLstm(nn.Module):
    """One bidirectional LSTM layer; padding never affects a valid frame.

    Args:
        input_dim: Size of input frames.
        hidden_dim: Size per direction.
        biases: Of each direction: two, as in PyTorch, or one.
    """

    def __init__(self, input_dim: int, hidden_dim: int, biases: Biases = "two") -> None:
        super().__init__()
        self.lstm = make_lstm(input_dim, hidden_dim, biases, bidirectional=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Returns (B, T, 2 · hidden_dim) for frames (B, T, input_dim).

        Lengths should be on the CPU: PyTorch needs them there, and copying them synchronises the
        GPU. So does sorting them, which PyTorch does unless they are sorted already.
        """
        sizes = lengths.cpu()
        order = sizes.argsort(descending=True)
        sorted_x = x.index_select(0, order.to(x.device))
        packed = pack_padded_sequence(sorted_x, sizes[order], batch_first=True)
        outputs = run_lstm(self.lstm, packed)[0]
        result, _ = pad_packed_sequence(outputs, batch_first=True, total_length=x.shape[1])
        return result.index_select(0, order.argsort().to(x.device))
