"""The two ends of a transducer head: what it reads of the encoder, and its joiner."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from asrkit.config.registry import Factory
from asrkit.losses.symbols import SoftmaxBlank, SymbolDistribution
from asrkit.models.heads.transducer.frame_contexts import FrameContext, NoContext
from asrkit.nn.readouts import Readout, TanhReadout


@dataclass(frozen=True)
class HeadInput:
    """What a transducer head reads of the encoder.

    Args:
        tap: Block, counted from 1, whose output is read; the last where null.
        bottleneck_dim: Size to which frames are projected before anything reads them; null for
            none.
        context: What the joiner sees around a frame.

    Raises:
        ValueError: If the size is not positive.
    """

    tap: int | None = None
    bottleneck_dim: int | None = None
    context: Factory[FrameContext] = NoContext

    def __post_init__(self) -> None:
        if self.bottleneck_dim is not None and self.bottleneck_dim < 1:
            raise ValueError(f"bottleneck_dim ({self.bottleneck_dim}) must be at least 1, or null")

    def size(self, encoder_dim: int) -> int:
        """Returns the size of the frames that are read."""
        return encoder_dim if self.bottleneck_dim is None else self.bottleneck_dim

    def bottleneck(self, encoder_dim: int) -> nn.Module:
        """Returns what projects frames to that size."""
        if self.bottleneck_dim is None:
            return nn.Identity()
        return nn.Linear(encoder_dim, self.bottleneck_dim)


@dataclass(frozen=True)
class JoinerSettings:
    """How a joiner turns frames and what the labels say into probabilities.

    Args:
        dim: Size J to which both are projected before they are added.
        readout: What becomes of the sum before the output layer.
        blank: How blank gets its probability; labels are smoothed here.
        dropout: Before all projections.

    Raises:
        ValueError: If the size is not positive, or not one that the readout can have.
    """

    dim: int
    readout: Readout = TanhReadout()
    blank: SymbolDistribution = SoftmaxBlank()
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ValueError(f"dim ({self.dim}) must be at least 1")
        self.readout.output_dim(self.dim)

    def output(self, size: int) -> nn.Linear:
        """Returns the output layer for a number of symbols."""
        return nn.Linear(self.readout.output_dim(self.dim), size)
