"""The encoder that leaves features as they are, for heads that read these."""

from __future__ import annotations

from torch import Tensor

from asrkit.models.interfaces import Encoded, Encoder, encoders


@encoders.register("identity")
class IdentityEncoder(Encoder):
    """Frames are the features.

    Args:
        input_dim: F of the features, which is D.
    """

    def __init__(self, input_dim: int) -> None:
        super().__init__()
        self.dim, self.num_layers, self.taps = input_dim, 0, []

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Returns the same lengths (B,)."""
        return lengths

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """Returns features (B, T, F) and lengths (B,)."""
        return Encoded(features, lengths)
