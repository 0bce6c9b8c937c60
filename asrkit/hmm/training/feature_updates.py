"""Features that are estimated together with the Gaussians: none, MLLT, fMLLR by speaker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from torch import Tensor

from asrkit.hmm.features import Projection
from asrkit.hmm.gaussians import Mixtures, sort_by_state
from asrkit.hmm.mllt import mllt, mllt_statistics
from asrkit.hmm.model import Model
from asrkit.hmm.speaker_transforms import (
    SpeakerTransforms,
    adapted,
    estimated,
    spoken_only,
    write_transforms,
)
from asrkit.hmm.speech import Speech

TRANSFORMS = "transforms.safetensors"
"""The file of speakers' transforms in the folder of a stage."""


class FeatureUpdate(Protocol):
    """Features of a set, and how they follow the model."""

    frames: Tensor
    """(N, D) as they are now."""

    def update(self, model: Model, states: Tensor) -> Model:
        """Estimates features again; returns a model that fits them.

        Args:
            model: The model as it is.
            states: (N,) tied states of the frames; negative where a frame has none.
        """
        ...

    def write(self, folder: Path) -> None:
        """Writes what the model itself does not hold."""
        ...


class FixedFeatures:
    """Features that stay as they are.

    Args:
        frames: (N, D).
    """

    def __init__(self, frames: Tensor) -> None:
        self.frames = frames

    def update(self, model: Model, states: Tensor) -> Model:
        """Returns the model as it is."""
        return model

    def write(self, folder: Path) -> None:
        """Writes nothing."""


class MlltFeatures:
    """Projected features that are turned such that diagonal covariances fit.

    Args:
        speech: The cepstra.
        projection: The projection so far.
    """

    def __init__(self, speech: Speech, projection: Projection) -> None:
        self.speech = speech
        self._project(projection)

    def _project(self, projection: Projection) -> None:
        self.projection, self.frames = projection, self.speech.transformed(projection)

    def update(self, model: Model, states: Tensor) -> Model:
        """Turns the features and the model's Gaussians."""
        statistics = mllt_statistics(model.mixtures, self.frames, sort_by_state(states))
        matrix = mllt(statistics).float()
        self._project(replace(self.projection, matrix=matrix @ self.projection.matrix))
        return replace(model, front=self.projection, mixtures=_turned(model.mixtures, matrix))

    def write(self, folder: Path) -> None:
        """Writes nothing: the model holds the projection."""


def _turned(mixtures: Mixtures, matrix: Tensor) -> Mixtures:
    """Returns the mixtures of features A x; their covariances' diagonals stay."""
    return replace(
        mixtures,
        means=mixtures.means @ matrix.T,
        variances=mixtures.variances @ matrix.square().T,
    )


class AdaptedFeatures:
    """Features with a transform for every speaker.

    Args:
        speech: Which frames are whose.
        unadapted: (N, D) features without transforms.
        transforms: The transforms so far.
        min_frames: Speakers of fewer frames are not adapted.
    """

    def __init__(
        self, speech: Speech, unadapted: Tensor, transforms: SpeakerTransforms, min_frames: int
    ) -> None:
        self.speech, self.unadapted, self.min_frames = speech, unadapted, min_frames
        self._adapt(transforms)

    def _adapt(self, transforms: SpeakerTransforms) -> None:
        self.transforms = transforms
        self.frames = adapted(self.speech, self.unadapted, transforms)

    def update(self, model: Model, states: Tensor) -> Model:
        """Estimates all transforms again; silence does not count."""
        spoken = spoken_only(states, model.tree)
        self._adapt(
            estimated(
                self.speech,
                model.mixtures,
                self.unadapted,
                self.frames,
                spoken,
                self.min_frames,
            )
        )
        return model

    def write(self, folder: Path) -> None:
        """Writes the transforms."""
        write_transforms(folder / TRANSFORMS, self.transforms)
