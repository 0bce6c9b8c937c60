"""One residual branch: x + scale · dropout(sublayer(norm(x))), sometimes skipped in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from asrkit.config.registry import Factory, Registry
from asrkit.nn.applied import Applied
from asrkit.nn.dropout import Dropout
from asrkit.nn.masking import SequenceContext
from asrkit.nn.norms import LayerNorm, Norm
from asrkit.nn.sublayers import Sublayer


@dataclass(frozen=True)
class Place:
    """Where a sublayer is: in which block, and its index among all sublayers of its kind."""

    block: int
    num_blocks: int
    nth: int
    num_same: int


class Keep(nn.Module):
    """Decides how much of a branch is added."""

    def forward(self, branch: Tensor) -> Tensor:
        """Returns the branch (B, T, D) scaled, or zero where it is skipped."""
        raise NotImplementedError


keeps: Registry[Keep] = Registry("keep", Keep, late=("place",))


@keeps.register("always")
class Always(Keep):
    """Never skips the branch.

    Args:
        place: Not needed here.
    """

    def __init__(self, place: Place) -> None:
        super().__init__()

    def forward(self, branch: Tensor) -> Tensor:
        """Returns the branch as it is."""
        return branch


@keeps.register("stochastic_depth")
class StochasticDepth(Keep):
    """Stochastic depth: skips the branch at random in training.

    Args:
        place: Where the sublayer is, for a survival that changes with depth.
        survival: Probability of keeping the branch; that of the deepest place unless the profile is
            `constant`.
        profile: `constant`; `linear` from 1 at the first sublayer of its kind to `survival`;
            `depth` for 1 - (block / blocks) · (1 - survival).
        per: One draw for the whole batch, or one for each sequence.
        scale_evaluation: Whether the branch is multiplied by its survival in evaluation.

    Raises:
        ValueError: If survival is not in (0, 1].

    Source: Huang et al. 2016, section 3.
    """

    def __init__(
        self,
        place: Place,
        survival: float,
        profile: Literal["constant", "linear", "depth"] = "constant",
        per: Literal["batch", "sequence"] = "batch",
        scale_evaluation: bool = True,
    ) -> None:
        super().__init__()
        if not 0.0 < survival <= 1.0:
            raise ValueError(f"survival ({survival}) must be above 0 and at most 1")
        share = {
            "constant": 1.0,
            "linear": (place.nth - 1) / max(place.num_same - 1, 1),
            "depth": place.block / place.num_blocks,
        }[profile]
        self.survival = 1.0 - share * (1.0 - survival)
        self.per = per
        self.scale_evaluation = scale_evaluation
        self.applied = Applied()

    def forward(self, branch: Tensor) -> Tensor:
        """Returns the branch (B, T, D), or zero where it is skipped."""
        if not self.training:
            return branch * self.survival if self.scale_evaluation else branch
        draws = 1 if self.per == "batch" else branch.shape[0]
        kept = torch.rand(draws, 1, 1, device=branch.device) < self.survival
        self.applied.count("skipped", (~kept).sum(), draws)
        return branch * kept.to(branch.dtype)


class Residual(nn.Module):
    """A sublayer with a norm before it and a residual connection around it.

    Args:
        dim: D.
        place: Where the sublayer is.
        module: The sublayer.
        scale: Factor of the branch; 0.5 for half-step feed-forward layers.
        norm: Before the sublayer.
        dropout: Of the branch.
        keep: Whether the branch is sometimes skipped.
    """

    def __init__(
        self,
        dim: int,
        place: Place,
        module: Factory[Sublayer],
        scale: float = 1.0,
        norm: Factory[Norm] = LayerNorm,
        dropout: float = 0.1,
        keep: Factory[Keep] = Always,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.norm = norm(dim=dim)
        self.module = module(dim=dim)
        self.dropout = Dropout(dropout)
        self.keep = keep(place=place)

    def forward(self, x: Tensor, context: SequenceContext) -> Tensor:
        """Returns frames (B, T, D) with the branch added."""
        branch = self.dropout(self.module(self.norm(x, context.mask), context))
        kept = self.keep(branch)
        return torch.add(x, kept, alpha=self.scale)


residuals: Registry[Residual] = Registry(
    "residual", Residual, late=("dim", "place"), default="residual"
)
residuals.register("residual")(Residual)
