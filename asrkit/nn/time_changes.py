"""Changes to the time axis of features in training: stretching and time warping."""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.nn.applied import Applied
from asrkit.nn.augment import Augment, augments


@augments.register("time_resize")
class TimeResize(Augment):
    """Stretches each utterance by a random factor without changing its pitch.

    Args:
        low: Smallest factor of the length.
        high: Largest factor of the length.
        max_frames: If set, longer utterances are never lengthened, so that batches still fit in
            memory.

    Source: option `rndresize` of rwth-i6/i6_experiments,
        users/zeyer/experiments/exp2022_07_21_transducer/exp_fs_base.
    """

    keeps_time = False

    def __init__(self, low: float, high: float, max_frames: int | None = None) -> None:
        super().__init__()
        if not 0 < low <= high or (max_frames is not None and low > 1):
            raise ValueError(
                f"time_resize needs 0 < low ({low}) <= high ({high}), and low of at most 1 where "
                "there is max_frames"
            )
        self.low, self.high, self.max_frames = low, high, max_frames
        self.applied = Applied()

    def forward(self, features: Tensor, lengths: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Returns stretched features and their lengths."""
        high = torch.full(lengths.shape, self.high, device=lengths.device)
        if self.max_frames is not None:
            high = torch.where(lengths > self.max_frames, high.clamp(max=1.0), high)
        factors = self.low + (high - self.low) * torch.rand(lengths.shape, device=lengths.device)
        new_lengths = (lengths * factors).round().long().clamp(min=1)
        self.applied.count("changed_frames", (new_lengths - lengths).abs().sum(), lengths.sum())
        places = torch.arange(int(new_lengths.max()), device=lengths.device) + 0.5
        # The middle of each new frame, on the old axis.
        sources = places * (lengths / new_lengths)[:, None] - 0.5
        return interpolate(features, sources, lengths), new_lengths


@augments.register("time_warp")
class TimeWarp(Augment):
    """Time warping: moves one random frame of each utterance, and its neighbours less and less.

    Args:
        max_shift: The frame moves by a uniform number of frames up to this, forwards or backwards.

    Source: Park et al. 2019, section 2, along time only, linear between the moved frame and the
        ends.
    """

    keeps_time = False

    def __init__(self, max_shift: int) -> None:
        super().__init__()
        if max_shift < 1:
            raise ValueError(f"max_shift ({max_shift}) must be at least 1")
        self.max_shift = max_shift
        self.applied = Applied()

    def forward(self, features: Tensor, lengths: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Returns warped features (B, T, F) and the same lengths."""
        draws = torch.rand(2, len(lengths), 1, device=features.device)
        last = (lengths[:, None] - 1).clamp(min=1).to(draws.dtype)
        # In utterances no longer than twice the shift, the middle moves less.
        shift = torch.minimum(last / 4, torch.full_like(last, self.max_shift))
        center = shift + draws[0] * (last - 2 * shift)
        moved = (center + (2 * draws[1] - 1) * shift * 0.99).clamp(min=0.01)
        self.applied.count("shift", (moved - center).abs().sum(), lengths.sum())
        places = torch.arange(features.shape[1], device=features.device).to(draws.dtype)
        before = places * center / moved
        after = center + (places - moved) * (last - center) / (last - moved)
        return interpolate(features, torch.where(places < moved, before, after), lengths), lengths


def interpolate(features: Tensor, sources: Tensor, lengths: Tensor) -> Tensor:
    """Interpolates features between frames.

    Args:
        features: (B, T, F).
        sources: (B, S) positions on the axis of frames, clamped to its ends.
        lengths: (B,) valid frames.

    Returns:
        (B, S, F).
    """
    sources = torch.minimum(sources.clamp(min=0), (lengths[:, None] - 1).clamp(min=0))
    left = sources.floor().long()
    right = torch.minimum(left + 1, (lengths[:, None] - 1).clamp(min=0))
    share = (sources - left).unsqueeze(2).to(features.dtype)
    width = features.shape[2]
    picked = [features.gather(1, index[..., None].expand(-1, -1, width)) for index in (left, right)]
    return picked[0] * (1 - share) + picked[1] * share
