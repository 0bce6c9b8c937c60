"""Warps features like an image: each point in time and frequency moves by a smooth random flow."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from asrkit.nn.applied import Applied
from asrkit.nn.augment import Augment, augments


@dataclass(frozen=True)
class Flow:
    """How far points move from a given step on.

    Args:
        from_step: First optimiser update with this flow.
        time: Standard deviation of the grid points' shifts along time, in frames.
        frequency: The same along frequency, in features.

    Raises:
        ValueError: If a deviation is negative.
    """

    from_step: int
    time: float
    frequency: float = 0.0

    def __post_init__(self) -> None:
        if self.time < 0 or self.frequency < 0:
            raise ValueError(
                f"time ({self.time}) and frequency ({self.frequency}) must be at least 0"
            )


@augments.register("dense_warp")
class DenseWarp(Augment):
    """Takes each value from a place shifted by a random flow.

    The flow is drawn from independent normal distributions at the points of a coarse grid, and
    interpolated linearly. If it is large compared with the spacing, frames can change their order.
    Before the first entry of `flows` nothing moves.

    Args:
        flows: How the flow grows during training.
        frame_spacing: Frames between neighbouring points of the grid.
        feature_spacing: Features between neighbouring points; where null, all features of a frame
            move together.

    Raises:
        ValueError: If a spacing is not positive.

    Source: Simard et al. 2003, "Best practices for convolutional neural networks", section 2; as
        with the option `oldtwarp` of rwth-i6/i6_experiments,
        users/zeyer/experiments/exp2022_07_21_transducer/exp_fs_base, where the flow is also
        blurred.
    """

    keeps_time = False

    def __init__(
        self, flows: list[Flow], frame_spacing: int = 10, feature_spacing: int | None = None
    ) -> None:
        super().__init__()
        if frame_spacing < 1 or (feature_spacing is not None and feature_spacing < 1):
            raise ValueError(
                f"frame_spacing ({frame_spacing}) and feature_spacing ({feature_spacing}) must be "
                "at least 1"
            )
        self.flows = sorted(flows, key=lambda flow: flow.from_step)
        self.frame_spacing, self.feature_spacing = frame_spacing, feature_spacing
        self.applied = Applied()

    def forward(self, features: Tensor, lengths: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Returns warped features (B, T, F) and the same lengths."""
        reached = [flow for flow in self.flows if flow.from_step <= step]
        if not reached:
            self.applied.count("shift", 0.0, features.shape[0] * features.shape[1])
            return features, lengths
        rows = self.moved(features, reached[-1].time, dim=1)
        columns = self.moved(features, reached[-1].frequency, dim=2)
        self._count(rows, columns)
        return sample(features, rows, columns, lengths), lengths

    def _count(self, rows: Tensor, columns: Tensor) -> None:
        """Counts how far values (B, T, F) come along time and frequency, if this is sampled."""
        if not self.applied.sampled:
            return
        for name, found, axis in (("shift", rows, 1), ("feature_shift", columns, 2)):
            places = torch.arange(found.shape[axis], device=found.device)
            places = places[:, None] if axis == 1 else places
            self.applied.count(name, (found - places).abs().sum(), found.numel())

    def moved(self, features: Tensor, deviation: float, dim: int) -> Tensor:
        """Returns (B, T, F) positions along a dimension to take values from."""
        batch, frames, width = features.shape
        places = torch.arange(features.shape[dim], device=features.device, dtype=torch.float32)
        places = places[:, None] if dim == 1 else places
        if not deviation:
            return places.expand(batch, frames, width)
        spacing = (self.frame_spacing, self.feature_spacing or width)
        points = [-(-size // each) for size, each in zip((frames, width), spacing, strict=True)]
        grid = torch.randn(batch, 1, *points, device=features.device) * deviation
        sizes = [count * each for count, each in zip(points, spacing, strict=True)]
        flow = F.interpolate(grid, size=sizes, mode="bilinear", align_corners=False)
        return places - flow[:, 0, :frames, :width]


def sample(features: Tensor, rows: Tensor, columns: Tensor, lengths: Tensor) -> Tensor:
    """Interpolates features between frames and between feature dimensions.

    Args:
        features: (B, T, F).
        rows: (B, T, F) positions on the axis of frames, clamped to its ends.
        columns: (B, T, F) positions on the axis of features, clamped likewise.
        lengths: (B,) valid frames.

    Returns:
        (B, T, F).
    """
    width = features.shape[2]
    row, below, row_share = _neighbours(rows, (lengths - 1).clamp(min=0)[:, None, None])
    column, right, column_share = _neighbours(
        columns, torch.full_like(lengths, width - 1)[:, None, None]
    )
    flat = features.flatten(1)

    def at(frame: Tensor, feature: Tensor) -> Tensor:
        return flat.gather(1, (frame * width + feature).flatten(1)).view_as(features)

    first = torch.lerp(at(row, column), at(row, right), column_share.to(features.dtype))
    second = torch.lerp(at(below, column), at(below, right), column_share.to(features.dtype))
    return torch.lerp(first, second, row_share.to(features.dtype))


def _neighbours(places: Tensor, last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the index before each position, the one after it, and the weight of the latter."""
    inside = torch.minimum(places.clamp(min=0), last)
    before = inside.floor().long()
    return before, torch.minimum(before + 1, last), inside - before
