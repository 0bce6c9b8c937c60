"""Aligns speech of speakers that the model has not seen, adapting to them on the way.

The first pass takes the features as they are, and the mixtures that were made for that. Its
alignments give every speaker a transform, with which the second pass aligns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from asrkit.hmm.aligning import Aligned, align, frame_states
from asrkit.hmm.fmllr import MIN_FRAMES
from asrkit.hmm.graphs import GraphCompiler
from asrkit.hmm.model import Model
from asrkit.hmm.speaker_transforms import SpeakerTransforms, adapted, estimated, spoken_only
from asrkit.hmm.speech import Speech
from asrkit.hmm.viterbi import BEAM


@dataclass(frozen=True)
class AdaptedAlignment:
    """What the last pass gave, and by which transforms.

    Args:
        aligned: The alignments.
        transforms: By speaker; empty where the model needs none.
        features: (N, D) as they were scored.
    """

    aligned: Aligned
    transforms: SpeakerTransforms
    features: Tensor


def align_speech(
    speech: Speech,
    model: Model,
    compiler: GraphCompiler,
    beam: float = BEAM,
    jobs: int = 1,
    passes: int = 2,
    min_frames: int = MIN_FRAMES,
) -> AdaptedAlignment:
    """Aligns a set; models without mixtures for a first pass are not adapted.

    Args:
        speech: The cepstra.
        model: Any stage's.
        compiler: Makes the graphs of transcripts.
        beam: Of the search.
        jobs: Threads.
        passes: How often speech is aligned; every pass but the first adapts by the one before.
        min_frames: Speakers of fewer frames of speech are not adapted.
    """
    features = speech.transformed(model.front)
    first = model.first_mixtures
    if first is None:
        return AdaptedAlignment(
            align(speech.utterances, features, model, compiler, beam, jobs), {}, features
        )
    plain = replace(model, mixtures=first)
    found = align(speech.utterances, features, plain, compiler, beam, jobs)
    transforms, now, scored_by = dict[str, Tensor](), features, first
    for _ in range(1, passes):
        spoken = spoken_only(frame_states(speech.utterances, found.found), model.tree)
        sought = model.mixtures
        transforms = estimated(speech, sought, features, now, spoken, min_frames, scored_by)
        now, scored_by = adapted(speech, features, transforms), sought
        found = align(speech.utterances, now, model, compiler, beam, jobs)
    return AdaptedAlignment(found, transforms, now)
