"""The best path of CTC: the best symbol of every frame, repeats and blanks removed."""

from __future__ import annotations

import torch
from torch import Tensor


def greedy_labels(log_probs: Tensor, lengths: Tensor) -> list[list[int]]:
    """Returns the labels of the best path of each utterance.

    Args:
        log_probs: (B, T, V + 1), blank last.
        lengths: (B,) valid frames.
    """
    blank = log_probs.shape[2] - 1
    result = []
    for path, length in zip(log_probs.argmax(2).cpu(), lengths.tolist(), strict=True):
        result.append(collapsed(path[:length], blank))
    return result


def collapsed(path: Tensor, blank: int) -> list[int]:
    """Returns the labels of a path (T,) of symbols: repetitions and blanks are left out."""
    symbols = torch.unique_consecutive(path)
    labels: list[int] = symbols[symbols != blank].tolist()
    return labels
