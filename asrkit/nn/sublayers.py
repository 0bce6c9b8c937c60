"""The one signature that every part of a Conformer block shares."""

from __future__ import annotations

from torch import Tensor, nn

from asrkit.config.registry import Registry
from asrkit.nn.masking import SequenceContext


class Sublayer(nn.Module):
    """Frames (B, T, D) to frames (B, T, D), even if the context is not needed."""

    def forward(self, x: Tensor, context: SequenceContext) -> Tensor:
        """Returns new frames (B, T, D)."""
        raise NotImplementedError


sublayers: Registry[Sublayer] = Registry("sublayer", Sublayer, late=("dim",))
