"""Augmentation of features: SpecAugment, frame dropping, vocal tract length perturbation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from asrkit.config.registry import Registry
from asrkit.nn.applied import Applied
from asrkit.nn.masking import length_mask
from asrkit.nn.norms import masked_mean


class Augment(nn.Module):
    """Changes features (B, T, F), or the samples that they are made of, in training.

    `keeps_time` is True if every frame stays in its place, so that alignments remain valid;
    `changes_samples` is True if `on_samples` does something.
    """

    keeps_time: bool = True
    changes_samples: bool = False

    def on_samples(self, signal: Tensor, lengths: Tensor, step: int) -> Tensor:
        """Returns changed samples (B, N), of the same lengths (B,), before features are made."""
        return signal

    def forward(self, features: Tensor, lengths: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Returns changed features and their lengths; `step` counts optimiser updates."""
        raise NotImplementedError


augments: Registry[Augment] = Registry("augment", Augment)


@dataclass(frozen=True)
class Masks:
    """How many masks are drawn along one axis, and how wide they are.

    Args:
        min_count: Smallest number of masks per utterance.
        max_count: Largest number of masks per utterance.
        max_width: Largest width; widths are uniform from 1.
        per_size: If set, up to `size // per_size` masks are drawn where that is more than
            max_count; size is the number of frames of the utterance, or of features.
        max_share: If set, no mask is wider than this share of the size.
    """

    min_count: int
    max_count: int
    max_width: int
    per_size: int | None = None
    max_share: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_count <= self.max_count or self.max_width < 1:
            raise ValueError(
                f"masks need 0 <= min_count ({self.min_count}) <= max_count ({self.max_count}) "
                f"and max_width ({self.max_width}) of at least 1"
            )


@dataclass(frozen=True)
class Strength:
    """How strong SpecAugment is from a given step on.

    Args:
        from_step: First optimiser update with this strength.
        add_min: Added to min_count.
        scale_max: Factor of max_count.
    """

    from_step: int
    add_min: int = 0
    scale_max: float = 1.0


@augments.register("spec_augment")
class SpecAugment(Augment):
    """SpecAugment: masks random stretches of time and bands of frequency of each utterance.

    Masks start at different places, may overlap, and are cut off at the end. Before the first
    entry of `strengths` nothing is masked; without entries, masks have full strength from the
    first step.

    Args:
        time: Masks along time.
        frequency: Masks along frequency.
        strengths: How the strength grows during training.
        value: What masked places are set to: 0, or the utterance's mean of each feature.
        counts: Whose number of masks is drawn: of each `utterance`, by its own length; of each, but
            by the length of the `longest` in the batch; or of the `batch`: by its longest, and all
            utterances get as many as the one with most.
        starts: Where masks start: in the `utterance`, or anywhere in the `batch`, padding included,
            so that shorter utterances have fewer.

    Source: Park et al. 2019, section 2, without time warping; numbers of masks as in
        rwth-i6/i6_experiments, users/zeyer/experiments/exp2022_07_21_transducer/exp_fs_base and
        exp2023_04_25_rf: `longest` as rwth-i6/returnn, frontend/audio/specaugment.py, below
        behavior version 28, and with `starts: batch` as older ones with TensorFlow.
    """

    def __init__(
        self,
        time: Masks,
        frequency: Masks,
        strengths: list[Strength] = [],  # noqa: B006 - never changed
        value: Literal["zero", "mean"] = "zero",
        counts: Literal["utterance", "longest", "batch"] = "utterance",
        starts: Literal["utterance", "batch"] = "utterance",
    ) -> None:
        super().__init__()
        self.value, self.counts, self.starts = value, counts, starts
        self.time, self.frequency = time, frequency
        self.strengths = sorted(strengths, key=lambda strength: strength.from_step)
        self.applied = Applied()

    def forward(self, features: Tensor, lengths: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Returns masked features (B, T, F) and the same lengths."""
        strength = self._strength(step)
        batch, num_frames, num_features = features.shape
        if strength is None:
            self.applied.count("masked_frames", 0.0, lengths.sum())
            self.applied.count("masked_bins", 0.0, batch * num_features)
            return features, lengths
        sizes = torch.full_like(lengths, num_features)
        drawn = self.counts, self.starts
        frames = draw_masks(self.time, strength, lengths, num_frames, *drawn)  # (B, T)
        bins = draw_masks(self.frequency, strength, sizes, num_features, *drawn)  # (B, F)
        self.applied.count("masked_frames", frames.sum(), lengths.sum())
        self.applied.count("masked_bins", bins.sum(), batch * num_features)
        hidden = frames.unsqueeze(2) | bins.unsqueeze(1)  # (B, T, F)
        if self.value == "zero":
            return features.masked_fill(hidden, 0.0), lengths
        valid = length_mask(lengths, num_frames)
        mean = masked_mean(features, valid).unsqueeze(1)  # (B, 1, F)
        return torch.where(hidden & valid.unsqueeze(2), mean, features), lengths

    def _strength(self, step: int) -> Strength | None:
        if not self.strengths:
            return Strength(0)
        reached = [strength for strength in self.strengths if strength.from_step <= step]
        return reached[-1] if reached else None


def draw_masks(
    masks: Masks,
    strength: Strength,
    sizes: Tensor,
    width: int,
    counts: Literal["utterance", "longest", "batch"] = "utterance",
    starts: Literal["utterance", "batch"] = "utterance",
) -> Tensor:
    """Draws the masked positions of each utterance.

    Args:
        masks: How many masks, and how wide.
        strength: Changes their number.
        sizes: (B,) valid size of each utterance along this axis.
        width: Padded size along this axis.
        counts: Whose number of masks is drawn, as of `SpecAugment`.
        starts: Where masks start, as of `SpecAugment`.

    Returns:
        (B, width) bool, True where masked.
    """
    padded = torch.full_like(sizes, width)
    number = uniform(*_bounds(masks, strength, sizes if counts == "utterance" else padded))  # (B,)
    if counts == "batch" and number.numel():
        number = number.max().expand_as(number)
    room = sizes if starts == "utterance" else padded
    number = number.minimum(room)
    slots = int(number.max()) if number.numel() else 0
    positions = torch.arange(width, device=sizes.device)
    # The top-k of uniform draws are k distinct positions, all equally likely.
    places = torch.rand(len(sizes), width, device=sizes.device)
    places = places.masked_fill(positions >= room[:, None], -1.0)
    firsts = places.topk(min(slots, width), dim=1).indices  # (B, M)
    longest = torch.full_like(sizes, masks.max_width)
    if masks.max_share is not None:
        longest = torch.minimum(longest, (sizes * masks.max_share).long().clamp(min=1))
    lengths = uniform(torch.ones_like(firsts), longest[:, None].expand_as(firsts))
    used = length_mask(number, firsts.shape[1])
    inside = (positions >= firsts[..., None]) & (positions < (firsts + lengths)[..., None])
    return (inside & used[..., None]).any(1) & (positions < sizes[:, None])


def _bounds(masks: Masks, strength: Strength, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the smallest and the largest number of masks for sizes (B,)."""
    most = torch.full_like(sizes, masks.max_count)
    if masks.per_size is not None:
        most = torch.maximum(most, sizes // masks.per_size)
    most = torch.minimum((most * strength.scale_max).long(), sizes)
    return torch.full_like(sizes, masks.min_count + strength.add_min).minimum(most), most


def uniform(low: Tensor, high: Tensor) -> Tensor:
    """Returns integers drawn uniformly from low to high, both included, elementwise."""
    draws = torch.rand(low.shape, device=low.device)
    return (low + (draws * (high - low + 1)).long()).clamp(max=high)


@augments.register("frame_drop")
class FrameDrop(Augment):
    """Removes random frames from each utterance.

    Args:
        probability: That a frame is removed.
        min_frames: At least this many frames of an utterance are kept.
    """

    keeps_time = False

    def __init__(self, probability: float, min_frames: int = 10) -> None:
        super().__init__()
        self.probability = probability
        self.min_frames = min_frames
        self.applied = Applied()

    def forward(self, features: Tensor, lengths: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Returns the remaining frames (B, T, F) and their number (B,)."""
        draws = torch.rand(features.shape[:2], device=features.device)
        valid = length_mask(lengths, features.shape[1])
        least = torch.minimum(lengths, torch.full_like(lengths, self.min_frames))
        order = draws.masked_fill(~valid, -1.0).argsort(1, descending=True).argsort(1)
        kept = valid & ((draws >= self.probability) | (order < least[:, None]))
        # A stable sort moves the kept frames to the front in their order.
        moved = (~kept).to(torch.uint8).argsort(dim=1, stable=True)
        shorter = kept.sum(1)
        self.applied.count("dropped_frames", (lengths - shorter).sum(), lengths.sum())
        gathered = features.gather(1, moved[..., None].expand_as(features))
        return gathered[:, : int(shorter.max())], shorter


@augments.register("vocal_tract")
class VocalTractPerturbation(Augment):
    """Vocal tract length perturbation: stretches the frequency axis of log-mel features.

    The factor is random for each utterance. A longer or shorter vocal tract moves the formants in
    this way, so that a corpus with few speakers sounds like one with more.

    Args:
        max_change: Factors are uniform within 1 ± this.
        sample_rate: Samples per second of the speech.
        low_frequency: Lower edge of the first mel filter in Hz.
        knee: Frequencies up to this many Hz are multiplied by the factor; above, the warping is
            linear up to half the sample rate, which stays fixed.

    Source: Jaitly and Hinton 2013, section 2; here the filters' outputs are interpolated linearly
        instead of computing the filters again, and factors are uniform.
    """

    def __init__(
        self,
        max_change: float,
        sample_rate: int = 16000,
        low_frequency: float = 20.0,
        knee: float = 4800.0,
    ) -> None:
        super().__init__()
        if not 0 <= max_change < 1 or not low_frequency < knee < sample_rate / 2:
            raise ValueError(
                f"max_change ({max_change}) must be in 0 .. 1, and knee ({knee}) between "
                f"low_frequency ({low_frequency}) and half of sample_rate ({sample_rate})"
            )
        self.max_change = max_change
        self.highest = sample_rate / 2
        self.low_frequency = low_frequency
        self.knee = knee
        self.applied = Applied()

    def forward(self, features: Tensor, lengths: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Returns stretched features and the same lengths."""
        draws = torch.rand(len(lengths), device=features.device)
        factors = 1 + self.max_change * (2 * draws - 1)
        self.applied.count("change", (factors - 1).abs().sum(), len(factors))
        return features @ self.interpolation(factors, features.shape[2]).to(features.dtype), lengths

    def interpolation(self, factors: Tensor, num_features: int) -> Tensor:
        """Returns (B, F, F) weights of old features (rows) in new ones, for factors (B,)."""
        edges = to_mel(torch.tensor([self.low_frequency, self.highest], device=factors.device))
        step = (edges[1] - edges[0]) / (num_features + 1)
        filters = torch.arange(num_features, device=factors.device)
        centers = from_mel(edges[0] + step * (filters + 1))  # (F,) Hz
        sources = (to_mel(self.warped(centers, factors[:, None])) - edges[0]) / step - 1  # (B, F)
        sources = sources.clamp(0, num_features - 1)
        return (1 - (sources[:, None, :] - filters[:, None]).abs()).clamp(min=0)

    def warped(self, frequency: Tensor, factor: Tensor) -> Tensor:
        """Returns warped frequencies in Hz: multiplied up to the knee, unchanged at the highest."""
        reached = self.knee * factor.clamp(max=1.0)
        knee = reached / factor
        slope = (self.highest - reached) / (self.highest - knee)
        above = self.highest - slope * (self.highest - frequency)
        return torch.where(frequency <= knee, frequency * factor, above)


def to_mel(frequency: Tensor) -> Tensor:
    """Converts frequencies in Hz to mel (O'Shaughnessy's formula, as in the features)."""
    return 2595.0 * torch.log10(1.0 + frequency / 700.0)


def from_mel(mel: Tensor) -> Tensor:
    """Converts mel to frequencies in Hz."""
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
