"""Loss scaling, so that small gradients in half precision don't become zero.

The loss is multiplied before the backward pass; gradients are divided before they are used.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from asrkit.bounds import refuse_below, refuse_not_above

log = logging.getLogger(__name__)

FACTOR = 2.0
"""Of a change; a power of two, so that no gradient is rounded."""
LEAST = 1.0
"""Gradients that overflow without any scale are not finite because of something else."""


@dataclass(frozen=True)
class LossScale:
    """A factor of the loss that follows what gradients allow.

    Args:
        initial: The first factor; it is halved, and the update skipped, where gradients overflow.
        growth_steps: It is doubled after so many updates in a row without an overflow.

    Raises:
        ValueError: If a number is too small.

    Source: Micikevicius et al. 2018, section 3.2; values of PyTorch's GradScaler.
    """

    initial: float = 65536.0
    growth_steps: int = 2000

    def __post_init__(self) -> None:
        refuse_not_above(0, initial=self.initial)
        refuse_below(1, growth_steps=self.growth_steps)


class Scaler:
    """The scale of a training so far: always 1 without settings.

    Args:
        settings: How it changes, if it does.
    """

    def __init__(self, settings: LossScale | None) -> None:
        self.settings = settings
        self.scale, self.good = 1.0 if settings is None else settings.initial, 0

    @torch.no_grad()
    def unscale(self, model: nn.Module) -> None:
        """Divides the gradients of a model by the scale."""
        if self.scale != 1.0:
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(1 / self.scale)

    def fits(self) -> None:
        """Counts an update with finite gradients."""
        if self.settings is None:
            return
        self.good += 1
        if self.good >= self.settings.growth_steps:
            self.scale, self.good = self.scale * FACTOR, 0

    def overflows(self, step: int) -> bool:
        """Lowers the scale after gradients that are not finite; returns whether that may help."""
        if self.settings is None or self.scale <= LEAST:
            return False
        self.scale, self.good = max(self.scale / FACTOR, LEAST), 0
        log.info("step %d: gradients overflow; skipped, loss scale is now %g", step, self.scale)
        return True

    def state_dict(self) -> dict[str, Any]:
        """Returns the scale and the updates since it changed."""
        return {"scale": self.scale, "good": self.good} if self.settings is not None else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` gave; nothing where it gave none."""
        if self.settings is not None and state:
            self.scale, self.good = float(state["scale"]), int(state["good"])
