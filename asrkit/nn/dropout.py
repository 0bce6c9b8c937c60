"""Dropout with random numbers that cost little on a CPU.

Drawing one random number per value takes a fifth of a training step on a CPU. Here one 64-bit
number serves four values, 16 bits each, so the probability is a multiple of 1/65536.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asrkit.nn.applied import Applied

Axis = Literal["batch", "time"]


class Dropout(nn.Module):
    """Sets values to zero at random in training, and scales up the others.

    Args:
        probability: That a value is set to zero.
        shareable: Whether what it is applied to is (B, T, ...), frames or labels of utterances, so
            that `SharedMasks` may set `shared`: the axes along which all values have one mask.

    Raises:
        ValueError: If the probability is not in [0, 1).

    Source: Srivastava et al. 2014, section 4.
    """

    def __init__(self, probability: float, shareable: bool = True) -> None:
        super().__init__()
        if not 0.0 <= probability < 1.0:
            raise ValueError(f"dropout ({probability}) must be at least 0 and below 1")
        self.probability, self.shareable = probability, shareable
        self.shared: frozenset[Axis] = frozenset()
        self.applied = Applied()

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of the same shape."""
        if not self.training or not self.probability:
            return x
        kept = dropout(x, self.probability, self._mask_shape(x) if self.shared else None)
        self.applied.count_dropped(x, kept)
        return kept

    def _mask_shape(self, x: Tensor) -> list[int]:
        sizes = list(x.shape)
        sizes[0] = 1 if "batch" in self.shared else sizes[0]
        if x.dim() > 2:  # one step of all utterances has no time
            sizes[1] = 1 if "time" in self.shared else sizes[1]
        return sizes

    def extra_repr(self) -> str:
        """Returns the probability, for printing."""
        return str(self.probability)


class ContinuousDropout(nn.Module):
    """Scales each of the D values of an utterance by a random factor in training.

    Factors are drawn between 1 - 2 p and 1 + 2 p, one for all frames, and so are 1 in the mean.

    Args:
        probability: p, as large as the probability of ordinary dropout of the same effect.

    Raises:
        ValueError: If the probability is not in [0, 0.5].

    Source: GeneralDropoutComponent of kaldi-asr/kaldi, src/nnet3/nnet-general-component.h, with
        `continuous` and one mask for all frames.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        if not 0.0 <= probability <= 0.5:
            raise ValueError(f"dropout ({probability}) must be at least 0 and at most 0.5")
        self.probability = probability
        self.applied = Applied()

    def forward(self, x: Tensor) -> Tensor:
        """Returns frames (B, T, D) of frames (B, T, D)."""
        if not (self.training and self.probability):
            return x
        draws = torch.rand(x.shape[0], 1, x.shape[2], device=x.device) * 2 - 1
        changes = 2 * self.probability * draws
        self.applied.count("change", changes.abs().sum(), changes.numel())
        return x * (1 + changes).to(x.dtype)

    def extra_repr(self) -> str:
        """Returns the probability, for printing."""
        return str(self.probability)


@dataclass(frozen=True)
class SharedMasks:
    """Dropout whose masks are the same for all utterances of a batch, all frames, or both.

    Dropout of attention weights, positions and what transducers join is not affected.

    Args:
        along: Along which axes masks are the same.
        pattern: Regular expression, searched in the names of dropout layers: only these share
            masks.

    Raises:
        ValueError: If there is no axis.

    Source: `rf_dropout_broadcast` of rwth-i6/returnn, returnn/frontend/dropout.py.
    """

    along: list[Axis]
    pattern: str = ""

    def __post_init__(self) -> None:
        if not self.along:
            raise ValueError("along must have at least one of batch and time")

    def apply(self, model: nn.Module) -> None:
        """Lets the dropout layers of a model share masks.

        Raises:
            ValueError: If no layer has such a name.
        """
        found = [
            module
            for name, module in model.named_modules()
            if isinstance(module, Dropout) and module.shareable and re.search(self.pattern, name)
        ]
        if not found:
            raise ValueError(
                "dropout_masks: the model has no dropout of frames or labels whose name has the "
                f"pattern {self.pattern!r}"
            )
        for module in found:
            module.shared = frozenset(self.along)


def dropout(x: Tensor, probability: float, mask_shape: list[int] | None = None) -> Tensor:
    """Returns x with values set to zero at random, the others scaled up.

    Args:
        x: Any shape.
        probability: That a value is set to zero.
        mask_shape: Of the mask, 1 where all values have the same; that of x where None.
    """
    if not probability:
        return x
    if mask_shape is not None:
        kept = torch.rand(mask_shape, device=x.device) >= probability
        return x * (kept / (1 - probability)).to(x.dtype)
    if x.device.type != "cpu":
        return F.dropout(x, probability)
    threshold = round(probability * 65536)
    draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64)
    draws.random_(-(2**63), None)
    bits = draws.view(torch.int16)[: x.numel()].view(x.shape)  # uniform in [-32768, 32768)
    kept = bits >= threshold - 32768
    return x * (kept * (65536 / (65536 - threshold))).to(x.dtype)
