"""Features that come from elsewhere, frame by frame, in place of samples."""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.config.registry import Factory
from asrkit.errors import UserError
from asrkit.nn.features import Features, NoNormalization, Normalization, feature_types


@feature_types.register("ready_made")
class ReadyMade(Features):
    """Features of a set that has them in place of audio; a frame is what a sample is to others.

    Args:
        dim: F.
        frame_shift: Seconds between frames.
        normalization: Applied to the features.
    """

    of_samples = False

    def __init__(
        self,
        dim: int,
        frame_shift: float = 0.01,
        normalization: Factory[Normalization] = NoNormalization,
    ) -> None:
        super().__init__()
        if frame_shift <= 0:
            raise ValueError(f"frame_shift ({frame_shift}) must be above 0")
        self.dim, self.frame_shift = dim, frame_shift
        self.sample_rate = round(1 / frame_shift)
        self.normalization = normalization(dim=dim)

    def num_frames(self, num_samples: Tensor) -> Tensor:
        """Returns the same numbers."""
        return num_samples

    def noise(self, lengths: Tensor) -> Tensor:
        """Returns noise (B, T, F)."""
        return torch.randn(len(lengths), int(lengths.max()), self.dim)

    def unnormalized(self, signal: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the features (B, T, F) and their lengths (B,) as they are.

        Raises:
            UserError: If there are samples, or features of another size.
        """
        if signal.dim() != 3 or signal.shape[2] != self.dim:
            got = "samples" if signal.dim() == 2 else f"{signal.shape[-1]} features a frame"
            raise UserError(
                f"the model reads {self.dim} ready-made features a frame (model.features.dim), and "
                f"got {got}: give the data folder of the features that it was trained on"
            )
        return signal.float(), lengths
