"""A head of Gaussian mixtures: log p(x|s) of tied states, as `asrkit gmm` estimates them."""

from __future__ import annotations

import torch
from torch import Tensor

from asrkit.data.batch import Batch
from asrkit.data.frame_targets import FrameTargets
from asrkit.hmm.gaussians import Mixtures
from asrkit.models.interfaces import Encoded, Encoder, Head, LossPart, LossReport, heads
from asrkit.nn.masking import length_mask
from asrkit.scorers.interfaces import FrameScores
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary

SCORES_AT_ONCE = 1 << 26
"""Of Gaussians in frames; bounds memory to 256 MB."""


@heads.register("gaussian_mixtures")
class GaussianMixturesHead(Head):
    """Mixtures of Gaussians with diagonal covariances, one for each tied state.

    They are estimated by `asrkit gmm`, not by gradients: their numbers are buffers.

    Args:
        encoder: Whose frames are read.
        vocabulary: Not needed.
        states: S, number of tied states.
        gaussians: G, number of Gaussians of all states.

    Raises:
        ValueError: If there are fewer Gaussians than states.
    """

    offsets: Tensor
    log_weights: Tensor
    means: Tensor
    variances: Tensor

    def __init__(
        self, encoder: Encoder, vocabulary: Vocabulary, states: int, gaussians: int
    ) -> None:
        super().__init__()
        if not 0 < states <= gaussians:
            raise ValueError(f"gaussians ({gaussians}) must be at least states ({states})")
        self.outputs = Outputs.states(states)
        self.given_targets = FrameTargets(self.outputs, rate="features")
        spread = torch.linspace(0, gaussians, states + 1).round().long()
        self.register_buffer("offsets", spread)
        self.register_buffer("log_weights", torch.zeros(gaussians))
        self.register_buffer("means", torch.zeros(gaussians, encoder.dim))
        self.register_buffer("variances", torch.ones(gaussians, encoder.dim))

    @property
    def mixtures(self) -> Mixtures:
        """The mixtures, which share memory with the head's buffers."""
        return Mixtures(self.offsets, self.log_weights, self.means, self.variances)

    def state_scores(self, encoded: Encoded) -> FrameScores:
        """Returns log p(x|s) (B, T, S)."""
        frames, mixtures = encoded.frames, self.mixtures
        rows = frames.reshape(-1, frames.shape[2]).float()  # (B T, D)
        scores = rows.new_empty(len(rows), mixtures.num_states)
        size = max(SCORES_AT_ONCE // len(mixtures), 1)
        # Terms of x² are large and cancel: half precision would leave nothing of the scores.
        with torch.autocast(rows.device.type, enabled=False):
            for part, scored in zip(rows.split(size), scores.split(size), strict=True):
                scored.copy_(mixtures.log_likelihoods(part))
        return FrameScores(scores.view(*frames.shape[:2], -1), encoded.lengths)  # (B, T, S)

    def loss(self, encoded: Encoded, batch: Batch) -> LossReport:
        """Returns the negative log-likelihood of frames in their given states, as a statistic."""
        assert batch.alignment is not None, "Gaussian mixtures are judged by given alignments"
        scores = self.state_scores(encoded)
        frames = scores.log_probs.shape[1]
        states = batch.alignment[:, :frames]  # (B, T)
        mask = length_mask(scores.lengths, frames) & (states >= 0)
        found = scores.log_probs.gather(2, states.clamp(min=0)[..., None])[..., 0]
        losses = torch.where(mask, -found, 0.0).sum(1)  # (B,)
        return {"loss": LossPart(losses.sum(), int(mask.sum()), 0.0, losses)}
