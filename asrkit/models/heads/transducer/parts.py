"""The two ends of a transducer head: what it reads of the encoder, and its joiner."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asrkit.config.registry import Factory
from asrkit.losses.symbols import SoftmaxBlank, SymbolDistribution
from asrkit.models.heads.transducer.frame_contexts import FrameContext, NoContext
from asrkit.nn.dropout import Dropout, dropout
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
        label_dropout: Of what the labels' outputs read, while that of blank reads all of it. One
            draw holds for all cells of a batch.

    Raises:
        ValueError: If the size is not positive, or not one that the readout can have, or a
            probability is none.

    Source: `label_log_prob_dropout` of rwth-i6/i6_experiments,
        users/zeyer/experiments/exp2022_07_21_transducer/exp_fs_base.
    """

    dim: int
    readout: Readout = TanhReadout()
    blank: SymbolDistribution = SoftmaxBlank()
    dropout: float = 0.1
    label_dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ValueError(f"dim ({self.dim}) must be at least 1")
        self.readout.output_dim(self.dim)

    def output(self, size: int) -> nn.Linear:
        """Returns the output layer for a number of symbols."""
        return nn.Linear(self.readout.output_dim(self.dim), size)

    def label_mask(self) -> LabelDropout:
        """Returns what drops inputs of the labels' outputs in training."""
        return LabelDropout(self.label_dropout)


class LabelDropout(Dropout):
    """Dropout before the outputs of labels, but not before that of blank, which is the last one.

    The same inputs are dropped for a whole batch, which is as good as dropping columns of weights:
    so losses that apply the output layer more than once see one model.

    Args:
        probability: That an input is dropped.
    """

    def forward(self, weight: Tensor) -> Tensor:
        """Returns the weights (V + 1, J') of an output layer, in training with columns dropped."""
        if not self.training or not self.probability:
            return weight
        inputs = torch.ones_like(weight[:1])  # (1, J')
        kept = dropout(inputs, self.probability)
        self.applied.count_dropped(inputs, kept)
        return torch.cat([weight[:-1] * kept, weight[-1:]])
