"""What a head of tied states is trained for, given all that phones can say: MMI or sMBR.

Both compare what was said with all else, over whole chunks of speech. MMI makes what was said
likelier; sMBR makes the frames fewer that are expected to be wrong, so that what is nearly right
costs less than what is wrong throughout.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from asrkit.config.registry import Registry
from asrkit.losses.mmi import Chunk, mmi_loss
from asrkit.losses.mmi_graphs import Denominator
from asrkit.losses.smbr import Silence, Unit, alike, smbr_loss


@dataclass(frozen=True)
class Competition:
    """All that competes with what was said.

    Args:
        denominator: All that can be said.
        leak: Probability of moving to any history of it before a frame.
        silence: Phones of silence and noise.
    """

    denominator: Denominator
    leak: float
    silence: Collection[int] = ()


@dataclass(frozen=True)
class Judged:
    """Losses of chunks.

    Args:
        losses: (B,), 0 with a zero gradient where what was said has no path.
        said: (B, T, S) posterior probabilities of tied states given what was said, 0 in such
            chunks.
        statistics: Others (B,) by name, in the same unit of frames, for logs.
    """

    losses: Tensor
    said: Tensor
    statistics: Mapping[str, Tensor] = field(default_factory=dict)


class SequenceCriterion(ABC):
    """A loss of scores of tied states."""

    @abstractmethod
    def __call__(
        self, scores: Tensor, lengths: Tensor, chunks: Sequence[Chunk], against: Competition
    ) -> Judged:
        """Returns the losses of chunks.

        Args:
            scores: (B, T, S) log-scores of tied states, which need no normalisation.
            lengths: (B,) valid frames.
            chunks: B of them: what was said.
            against: All that can be said.
        """


sequence_criteria: Registry[SequenceCriterion] = Registry("sequence criterion", SequenceCriterion)


@sequence_criteria.register("mmi")
class Mmi(SequenceCriterion):
    """How much likelier all that can be said is than what was said, in nats.

    Source: Povey et al. 2016, "Purely sequence-trained neural networks for ASR based on
        lattice-free MMI".
    """

    def __call__(
        self, scores: Tensor, lengths: Tensor, chunks: Sequence[Chunk], against: Competition
    ) -> Judged:
        """Returns the losses of chunks."""
        return Judged(*mmi_loss(scores, lengths, chunks, against.denominator, against.leak))


@sequence_criteria.register("smbr")
class Smbr(SequenceCriterion):
    """The frames that are expected to be wrong, for some epochs after MMI.

    Args:
        unit: Whether a frame is right that has the tied state that was said, or its phone.
        silence: Whether silence and noise are right for one another, as in Kaldi with
            --one-silence-class, or never right.
        mmi: Factor of the loss of MMI, which is added against overfitting.

    Raises:
        ValueError: If the factor is negative.

    Source: Kanda et al. 2018, "Lattice-free state-level minimum Bayes risk training of acoustic
        models"; Su et al. 2013, "Error back propagation for sequence training of context-dependent
        deep networks for conversational speech transcription" (smoothing by another criterion).
    """

    def __init__(self, unit: Unit = "states", silence: Silence = "right", mmi: float = 0.1) -> None:
        if mmi < 0:
            raise ValueError(f"mmi ({mmi}) must be at least 0")
        self.unit, self.silence, self.mmi = unit, silence, mmi

    def __call__(
        self, scores: Tensor, lengths: Tensor, chunks: Sequence[Chunk], against: Competition
    ) -> Judged:
        """Returns the losses of chunks; and the expected errors and the losses of MMI alone."""
        given, size = against.denominator, scores.shape[2]
        classes = alike(given, self.unit, size, against.silence, self.silence)
        found = smbr_loss(scores, lengths, chunks, given, against.leak, classes)
        parts = {"errors": found.errors.detach(), "mmi": found.mmi.detach()}
        return Judged(found.errors + self.mmi * found.mmi, found.said, parts)
