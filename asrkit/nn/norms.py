"""Normalisation layers on padded frames (B, T, D).

Padding never influences a valid frame, except where a name says that it does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asrkit.config.registry import Registry


class Norm(nn.Module):
    """Normalises (B, T, D) with a mask (B, T), True = valid.

    `sees_all_frames` is True if a frame's result depends on later frames outside of training as
    well, which causal spans can't allow.
    """

    sees_all_frames = False

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Returns normalised frames (B, T, D)."""
        raise NotImplementedError


norms: Registry[Norm] = Registry("norm", Norm, late=("dim",))


@norms.register("layer_norm")
class LayerNorm(Norm):
    """Normalises each frame over its D values.

    Args:
        dim: D.
        eps: Added to the variance.
    """

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=eps)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Returns normalised frames (B, T, D)."""
        normalized: Tensor = self.norm(x)
        return normalized


@norms.register("rms_norm")
class RMSNorm(Norm):
    """Divides each frame by the root mean square of its D values.

    Args:
        dim: D.
        eps: Added to the mean square.
    """

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(dim, eps=eps)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Returns normalised frames (B, T, D)."""
        normalized: Tensor = self.norm(x)
        return normalized


@norms.register("batch_norm")
class BatchNorm(Norm):
    """Normalises each of the D values over all valid frames of the batch.

    Args:
        dim: D.
        momentum: Share of the newest batch in the running statistics.
        eps: Added to the variance.

    Source: Ioffe and Szegedy 2015, algorithm 1; padding is left out of the moments.
    """

    def __init__(self, dim: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(dim, eps=eps, momentum=momentum)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Returns normalised frames (B, T, D); running statistics outside of training."""
        norm = self.norm
        if not self.training:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
            return x * scale + (norm.bias - norm.running_mean * scale)
        # Selecting valid frames with x[mask] would synchronise the GPU in every layer.
        with torch.autocast(x.device.type, enabled=False):
            exact = x.to(torch.promote_types(x.dtype, torch.float32))
            frames = exact.masked_fill(~mask.unsqueeze(2), 0.0).flatten(0, 1)
            valid = mask.flatten().to(frames.dtype)
            count = valid.sum()
            mean = (valid / count) @ frames
            centered = frames - mean
            variance = (valid / count) @ centered.square()
            self._track(mean.detach(), variance.detach(), count)
            scale = norm.weight * torch.rsqrt(variance + norm.eps)
            return torch.addcmul(norm.bias, centered, scale).view(x.shape)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        norm = self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        assert norm.momentum is not None
        unbiased = variance * (count / (count - 1).clamp(min=1))
        norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), norm.momentum)
        norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), norm.momentum)
        norm.num_batches_tracked.add_(1)


@norms.register("unmasked_batch_norm")
class UnmaskedBatchNorm(BatchNorm):
    """Normalises each of the D values over all frames of the batch, including padding.

    In training the result depends on the amount of padding in the batch. This is only meant for
    comparisons with systems that do it.

    Args:
        dim: D.
        momentum: Share of the newest batch in the running statistics.
        eps: Added to the variance.

    Source: Ioffe and Szegedy 2015, algorithm 1.
    """

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Returns normalised frames (B, T, D); running statistics outside of training."""
        return super().forward(x, torch.ones_like(mask))


@norms.register("tracking_batch_norm")
class TrackingBatchNorm(BatchNorm):
    """Batch norm whose running statistics follow what is evaluated, as well as what is trained.

    So a result depends on what was evaluated before, and training on its dev set. This is only
    meant for comparisons with systems that do it.

    Args:
        dim: D.
        momentum: Share of the newest batch in the running statistics.
        eps: Added to the variance.

    Source: the batch_norm layer of rwth-i6/returnn before its behaviour version 12:
        `update_sample_only_in_training` and `delay_sample_update` are off.
    """

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Returns normalised frames (B, T, D)."""
        if not self.training and bool(mask.any()):
            frames = x[mask].to(torch.promote_types(x.dtype, torch.float32))  # (N, D)
            self._track(frames.mean(0), frames.var(0, unbiased=False), mask.sum())
        return super().forward(x, mask)


@norms.register("group_norm")
class GroupNorm(Norm):
    """Normalises each utterance over its valid frames and the values of a group.

    Args:
        dim: D.
        num_groups: Number of groups of the D values.
        eps: Added to the variance.

    Raises:
        ValueError: If num_groups does not divide D.

    Source: Wu and He 2018, section 3; padding is left out of the moments.
    """

    sees_all_frames = True

    def __init__(self, dim: int, num_groups: int = 1, eps: float = 1e-6) -> None:
        super().__init__()
        if dim % num_groups:
            raise ValueError(f"num_groups ({num_groups}) must divide dim ({dim})")
        self.num_groups = num_groups
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Returns normalised frames (B, T, D)."""
        grouped = x.unflatten(2, (self.num_groups, -1))  # (B, T, D) -> (B, T, G, D/G)
        valid = mask[:, :, None, None]
        count = valid.sum(1, keepdim=True) * grouped.shape[3]
        kept = grouped.masked_fill(~valid, 0.0)
        mean = kept.sum((1, 3), keepdim=True) / count
        centered = (grouped - mean).masked_fill(~valid, 0.0)
        variance = centered.square().sum((1, 3), keepdim=True) / count
        normalized = (centered * torch.rsqrt(variance + self.eps)).flatten(2)
        result: Tensor = normalized * self.weight + self.bias
        return result


@norms.register("identity")
class IdentityNorm(Norm):
    """No normalisation.

    Args:
        dim: D, not needed here.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Returns the frames (B, T, D) as they are."""
        return x


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Returns the mean (B, D) over the valid frames of (B, T, D)."""
    total = x.masked_fill(~mask.unsqueeze(-1), 0.0).sum(1)
    return total / mask.sum(1, keepdim=True).clamp(min=1)
