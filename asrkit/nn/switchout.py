"""SwitchOut: random wrong labels in the label history, so that a network relies on it less."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asrkit.nn.applied import Applied


class Switchout(nn.Module):
    """Replaces symbols by random ones in training.

    Args:
        probability: That a symbol is replaced.
        num_labels: V; the labels to choose from are 0 to V - 1.
        blank_share: Share of replacements that are blank, V; 0 where there is no blank.

    Raises:
        ValueError: If the probability or the share is not in [0, 1].

    Source: Wang et al. 2018, "SwitchOut: an efficient data augmentation algorithm for neural
        machine translation", with a fixed probability for each symbol.
    """

    def __init__(self, probability: float, num_labels: int, blank_share: float = 0.0) -> None:
        super().__init__()
        for name, value in (("switchout", probability), ("blank_share", blank_share)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} ({value}) must be at least 0 and at most 1")
        self.probability, self.num_labels, self.blank_share = probability, num_labels, blank_share
        self.applied = Applied()

    def forward(self, symbols: Tensor) -> Tensor:
        """Returns symbols of the same shape (...), some of them replaced."""
        if not self.training or not self.probability:
            return symbols
        others = torch.randint_like(symbols, self.num_labels)
        if self.blank_share:
            blank = torch.rand(symbols.shape, device=symbols.device) < self.blank_share
            others = others.masked_fill(blank, self.num_labels)
        switched = torch.rand(symbols.shape, device=symbols.device) < self.probability
        self.applied.count("replaced_labels", switched.sum(), switched.numel())
        return torch.where(switched, others, symbols)
