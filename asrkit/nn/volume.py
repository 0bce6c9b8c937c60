"""Volume perturbation: every utterance is made louder or softer before features are computed."""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.nn.applied import Applied
from asrkit.nn.augment import Augment, augments
from asrkit.nn.features import as_floats


@augments.register("volume")
class VolumePerturbation(Augment):
    """Multiplies the samples of each utterance by a random factor.

    Loud samples are not clipped. Features that are normalised for every utterance hardly change;
    where samples are, with `signal_normalization: peak`, this is refused.

    Args:
        low: Smallest factor.
        high: Largest factor; factors are uniform between.
        probability: That an utterance is changed.

    Raises:
        ValueError: If a number is impossible.

    Source: kaldi-asr/kaldi, egs/wsj/s5/utils/data/perturb_data_dir_volume.sh.
    """

    changes_samples = True

    def __init__(self, low: float = 0.125, high: float = 2.0, probability: float = 1.0) -> None:
        super().__init__()
        if not 0 < low <= high or not 0 <= probability <= 1:
            raise ValueError(
                f"expected 0 < low ({low}) <= high ({high}) and a probability ({probability}) of "
                "0 to 1"
            )
        self.low, self.high, self.probability = low, high, probability
        self.applied = Applied()

    def on_samples(self, signal: Tensor, lengths: Tensor, step: int) -> Tensor:
        """Returns louder or softer samples (B, N), as floats within -1 .. 1 where they were."""
        draws = torch.rand(2, len(signal), device=signal.device)
        factors = self.low + (self.high - self.low) * draws[0]  # (B,)
        factors = torch.where(draws[1] < self.probability, factors, torch.ones_like(factors))
        self.applied.count("changed", (factors != 1.0).sum(), len(factors))
        return as_floats(signal) * factors[:, None]

    def forward(self, features: Tensor, lengths: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Returns the features (B, T, F) of changed samples as they are."""
        return features, lengths
