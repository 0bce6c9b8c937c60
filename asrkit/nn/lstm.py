"""LSTMs in the precision of their weights, also under autocast.

An LSTM accumulates rounding errors over hundreds of steps. On a GPU, PyTorch's autocast also runs
cuDNN's recurrent layers in float16 where bfloat16 was requested, so that small gradients would
become 0. All LSTMs are called here.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

LstmState = tuple[Tensor, Tensor]
"""Outputs and cells, (B, D) each; (1, B, D) for PyTorch's layers."""
Frames = TypeVar("Frames", Tensor, PackedSequence)
Biases = Literal["two", "one"]
"""Whether inputs and state of an LSTM have a bias each, as in PyTorch, or all share one."""
_PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def make_lstm(
    input_dim: int, hidden_dim: int, biases: Biases = "two", bidirectional: bool = False
) -> nn.LSTM:
    """Returns a layer of LSTMs that has batches first.

    Args:
        input_dim: I.
        hidden_dim: D per direction.
        biases: Two in each direction, or one.
        bidirectional: Whether there is a second direction.
    """
    layer = nn.LSTM(input_dim, hidden_dim, batch_first=True, bidirectional=bidirectional)
    if biases == "one":
        for name in [name for name, _ in layer.named_parameters() if name.startswith("bias_hh")]:
            _keep_at_zero(layer, name)
    return layer


def _keep_at_zero(layer: nn.LSTM, name: str) -> None:
    """Makes a parameter zeros that are not learned, nor part of checkpoints."""
    # PyTorch's layer computes with two biases; a buffer moves with the weights, and cuDNN has it
    # in one piece with them.
    zeros = torch.zeros_like(getattr(layer, name), requires_grad=False)
    delattr(layer, name)
    layer.register_buffer(name, zeros, persistent=False)
    setattr(layer, name, zeros)  # again: so the layer also has it in its list of weights


def run_lstm(layer: nn.LSTM, x: Frames, state: LstmState | None = None) -> tuple[Frames, LstmState]:
    """Applies a layer to sequences.

    Args:
        layer: One layer of LSTMs.
        x: (B, T, I), or packed.
        state: (1, B, D) initial state; zeros where None.

    Returns:
        (B, T, D) outputs or packed ones, and the state at the end.
    """
    weight: Tensor = next(layer.parameters())
    with torch.autocast(weight.device.type, enabled=False):
        before = None if state is None else tuple(part.to(weight.dtype) for part in state)
        found: tuple[Frames, LstmState] = layer(x.to(weight.dtype), before)
        return found


def autocast_lstm(
    layer: nn.LSTM, x: Tensor, state: LstmState | None = None
) -> tuple[Tensor, LstmState]:
    """Applies a layer to sequences in the precision of autocast, where that is on.

    Args:
        layer: One layer of LSTMs, with two biases.
        x: (B, T, I).
        state: (1, B, D) initial state; zeros where None.

    Returns:
        (B, T, D) outputs, and the state at the end.
    """
    kind = x.device.type
    if not torch.is_autocast_enabled(kind):
        return run_lstm(layer, x, state)
    dtype = torch.get_autocast_dtype(kind)
    zeros = x.new_zeros(1, len(x), layer.hidden_size)
    before = tuple(part.to(dtype) for part in state or (zeros, zeros))
    weights = [getattr(layer, f"{name}_l0").to(dtype) for name in _PARAMETERS]
    with torch.autocast(kind, enabled=False):
        y, output, cell = torch.lstm(
            x.to(dtype), before, weights, True, 1, 0.0, layer.training, False, True
        )
    return y, (output, cell)


def lstm_step(layer: nn.LSTM | nn.LSTMCell, x: Tensor, state: LstmState) -> LstmState:
    """Returns outputs and cells (B, D) after another input (B, I), with one bias or two."""
    suffix = "_l0" if isinstance(layer, nn.LSTM) else ""
    parameters = [getattr(layer, name + suffix) for name in _PARAMETERS]
    if parameters[-1] is None:
        parameters[-1] = torch.zeros_like(parameters[-2])  # a GPU needs both
    dtype = parameters[0].dtype
    with torch.autocast(x.device.type, enabled=False):
        output, cell = torch.lstm_cell(x.to(dtype), [part.to(dtype) for part in state], *parameters)
    return output, cell
