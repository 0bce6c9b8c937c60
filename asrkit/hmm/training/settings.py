"""What may be chosen in the training of Gaussian mixtures, with values for 5 hours of speech.

Sizes for 100 hours and more are about those of Kaldi's recipes: 4200 states and 40,000 Gaussians
for 100 hours, 5000 to 12,000 states and 100,000 to 200,000 Gaussians for 1000.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from asrkit.hmm.features import Deltas, Mfcc
from asrkit.hmm.topology import HmmTopology
from asrkit.hmm.tree_building import MIN_FRAMES
from asrkit.hmm.viterbi import BEAM


@dataclass(frozen=True)
class Iterations:
    """The iterations of a stage, counted from 1.

    Args:
        gaussians: How many there are in the end.
        iterations: How often the mixtures are estimated.
        grow_until: The last iteration after which there are more Gaussians than before.
        align_at: Iterations that begin by aligning the speech again.
        transform_at: Iterations that begin by estimating transforms of features again.

    Raises:
        ValueError: If an iteration is not one, or the stage has none.
    """

    gaussians: int
    iterations: int = 35
    grow_until: int = 25
    align_at: tuple[int, ...] = (10, 20, 30)
    transform_at: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.gaussians < 1 or self.iterations < 1:
            raise ValueError(
                f"expected some gaussians and iterations, got {self.gaussians}, {self.iterations}"
            )
        for name in ("align_at", "transform_at"):
            wrong = [i for i in getattr(self, name) if not 1 <= i <= self.iterations]
            if wrong:
                raise ValueError(
                    f"{name}: {wrong[0]} is not an iteration from 1 to {self.iterations}"
                )


def _monophone_schedule() -> Iterations:
    early = (*range(1, 11), 12, 14, 16, 18, 20, 23, 26, 29, 32, 35, 38)
    return Iterations(gaussians=1000, iterations=39, grow_until=29, align_at=early)


@dataclass(frozen=True)
class Monophones:
    """The first stage.

    Args:
        utterances: So many of the shortest are trained on: a start from equal lengths is least
            wrong there.
        schedule: Its iterations.
    """

    utterances: int = 500
    schedule: Iterations = field(default_factory=_monophone_schedule)


@dataclass(frozen=True)
class Tied:
    """A stage of tied triphones.

    Args:
        states: Number of tied states; fewer where no question divides the frames well.
        schedule: Its iterations.
        min_frames: That a tied state has at least.
    """

    states: int
    schedule: Iterations
    min_frames: float = MIN_FRAMES


def _triphones() -> Tied:
    return Tied(2000, Iterations(10000))


def _with_transforms() -> Tied:
    return Tied(2500, Iterations(15000, transform_at=(2, 4, 6, 12)))


@dataclass(frozen=True)
class Lda:
    """The projection of frames with their neighbours.

    Args:
        dim: Dimensions that are kept.
        context: Frames on each side.
    """

    dim: int = 40
    context: int = 4


@dataclass(frozen=True)
class Settings:
    """All of a training.

    Args:
        mfcc: How samples become cepstra.
        normalize_variance: Whether cepstra have variance 1 for every speaker, and not only mean 0.
        deltas: Features of the first two stages.
        lda: Features of the others.
        topology: States of phones, and costs before they are learnt.
        silence: Probability of silence between words.
        unknown_as_noise: Whether words without pronunciation are noise; else they are an error.
        learn_transitions: Whether costs of loops and forward arcs are those of the alignments.
        beam: Of the alignments.
        monophones: Stage mono.
        triphones: Stage tri.
        projected: Stage lda_mllt.
        adapted: Stage sat.
        min_speaker_frames: Speakers of fewer frames are not adapted.
    """

    mfcc: Mfcc = field(default_factory=Mfcc)
    normalize_variance: bool = False
    deltas: Deltas = field(default_factory=Deltas)
    lda: Lda = field(default_factory=Lda)
    topology: HmmTopology = field(default_factory=HmmTopology)
    silence: float = 0.5
    unknown_as_noise: bool = True
    learn_transitions: bool = True
    beam: float = BEAM
    monophones: Monophones = field(default_factory=Monophones)
    triphones: Tied = field(default_factory=_triphones)
    projected: Tied = field(default_factory=_with_transforms)
    adapted: Tied = field(default_factory=_with_transforms)
    min_speaker_frames: int = 500
