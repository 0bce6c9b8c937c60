"""Prediction networks: a vector for every number of labels so far."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from asrkit.config.registry import Registry
from asrkit.scorers.interfaces import State


class Predictor(nn.Module, ABC):
    """Reads labels only, and moves only where there is one; implementations set `dim` (D).

    So its states are those of labels, not of frames, and blank changes nothing (Zeyer et al. 2020
    call this SlowRNN).
    """

    dim: int

    @abstractmethod
    def forward(self, labels: Tensor) -> Tensor:
        """Returns (B, U + 1, D) after 0 to U of the labels (B, U)."""

    @abstractmethod
    def begin(self, size: int) -> tuple[Tensor, State]:
        """Returns what comes out without labels (H, D), and the state, for H = size hypotheses."""

    @abstractmethod
    def step(self, state: State, labels: Tensor) -> tuple[Tensor, State]:
        """Reads one label (H,) per hypothesis; returns (H, D) and the new states."""


predictors: Registry[Predictor] = Registry("predictor", Predictor, late=("inputs",))
