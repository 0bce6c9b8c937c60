"""The one signature that every part of a Conformer block shares."""

from __future__ import annotations

from torch import Tensor, nn

from asrkit.config.registry import Registry
from asrkit.nn.masking import SequenceContext


class Sublayer(nn.Module):
    """Maps frames (B, T, D) to frames (B, T, D); the context need not be used."""

    def forward(self, x: Tensor, context: SequenceContext) -> Tensor:
        """Returns new frames (B, T, D)."""
        raise NotImplementedError


sublayers: Registry[Sublayer] = Registry("sublayer", Sublayer, late=("dim",))
