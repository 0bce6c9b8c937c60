"""The four stages: how each begins with what the one before has left, and what it leaves.

mono      states without context, from equal lengths of all states, on short utterances
tri       tied triphones on cepstra and their derivatives
lda_mllt  tied triphones on projected features
sat       tied triphones on features with a transform for every speaker
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asrkit.hmm.aligning import frame_states
from asrkit.hmm.alignments import Alignment, read_alignments
from asrkit.hmm.features import FrontEnd, Projection, spliced
from asrkit.hmm.gaussians import accumulate, single_gaussians, sort_by_state, update
from asrkit.hmm.graphs import GraphCompiler, transitions_of
from asrkit.hmm.hmm_folder import Hmm
from asrkit.hmm.lda import ClassStatistics, discriminants
from asrkit.hmm.model import Model, read_model
from asrkit.hmm.questions import given_questions
from asrkit.hmm.speaker_transforms import estimated, read_transforms, spoken_only
from asrkit.hmm.speech import Speech
from asrkit.hmm.topology import Phones
from asrkit.hmm.training.em import Loop, Progress, kept_progress, learnt_transitions
from asrkit.hmm.training.feature_updates import (
    TRANSFORMS,
    AdaptedFeatures,
    FeatureUpdate,
    FixedFeatures,
    MlltFeatures,
)
from asrkit.hmm.training.given import Given
from asrkit.hmm.training.settings import Iterations, Settings, Tied
from asrkit.hmm.training.start import first_alignments
from asrkit.hmm.tree import Tree, monophone_tree
from asrkit.hmm.tree_building import (
    ContextStatistics,
    TreeBuilder,
    context_statistics,
    questions_by_clustering,
)

ALIGNMENTS = "alignments.safetensors"
Trained = tuple[Progress, FeatureUpdate]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """What all stages share.

    Args:
        folder: Has a folder for every stage.
        speech: The cepstra that are trained on.
        compiler: Makes the graphs of transcripts.
        phones: The phones.
        settings: The training's.
        jobs: Threads.
        given: Questions of trees and times of words, if users have them.
    """

    folder: Path
    speech: Speech
    compiler: GraphCompiler
    phones: Phones
    settings: Settings
    jobs: int = 1
    given: Given = Given()

    def asked(self, found: ContextStatistics) -> list[list[int]]:
        """Returns the questions of trees: those that are given, or by clustering frames."""
        if self.given.questions:
            return given_questions(self.given.questions, self.phones)
        return questions_by_clustering(found, self.phones)

    def loop(self, stage: str, schedule: Iterations, speech: Speech | None = None) -> Loop:
        """Returns the iterations of a stage."""
        return Loop(
            speech or self.speech,
            self.compiler,
            schedule,
            self.folder / stage,
            self.settings.beam,
            self.settings.learn_transitions,
            self.jobs,
        )

    def left_by(self, stage: str) -> tuple[Model, dict[str, Alignment]]:
        """Returns the model and the alignments that a stage has left."""
        found = read_alignments(self.folder / stage / ALIGNMENTS)
        return read_model(self.folder / stage), {name: one for (name, _), one in found.items()}


def monophones(work: Work) -> Trained:
    """Trains states without context."""
    settings = work.settings.monophones
    shortest = sorted(work.speech.utterances, key=len)[: settings.utterances]
    speech, front = work.speech.subset(shortest), work.settings.deltas
    features = FixedFeatures(speech.transformed(front))
    kept = kept_progress(work.folder / "mono")
    progress = kept[0] if kept else _flat_start(work, speech, features.frames)
    progress = work.loop("mono", settings.schedule, speech).run(progress, features)
    return _aligned(work, "mono", progress, FixedFeatures(work.speech.transformed(front)))


def triphones(work: Work) -> Trained:
    """Trains tied triphones on cepstra and their derivatives."""
    settings, front = work.settings.triphones, work.settings.deltas
    features = FixedFeatures(work.speech.transformed(front))
    kept = kept_progress(work.folder / "tri")
    progress = kept[0] if kept else _tied(work, settings, "mono", features.frames, front)
    progress = work.loop("tri", settings.schedule).run(progress, features)
    return _aligned(work, "tri", progress, features)


def projected(work: Work) -> Trained:
    """Trains tied triphones on features of LDA and MLLT."""
    settings = work.settings.projected
    kept = kept_progress(work.folder / "lda_mllt")
    front = kept[0].model.front if kept else _lda(work)
    assert isinstance(front, Projection)
    features = MlltFeatures(work.speech, front)
    progress = kept[0] if kept else _tied(work, settings, "tri", features.frames, front)
    progress = work.loop("lda_mllt", settings.schedule).run(progress, features)
    return _aligned(work, "lda_mllt", progress, features)


def adapted(work: Work) -> Trained:
    """Trains tied triphones on features that are transformed for every speaker.

    The model also gets mixtures for features without transforms, which a first pass needs.
    """
    settings, least = work.settings.adapted, work.settings.min_speaker_frames
    before, alignments = work.left_by("lda_mllt")
    plain = work.speech.transformed(before.front)
    loop = work.loop("sat", settings.schedule)
    kept = kept_progress(loop.folder)
    if kept:
        transforms = read_transforms(kept[1] / TRANSFORMS)
    else:
        spoken = spoken_only(frame_states(work.speech.utterances, alignments), before.tree)
        transforms = estimated(work.speech, before.mixtures, plain, plain, spoken, least)
    features = AdaptedFeatures(work.speech, plain, transforms, least)
    fewer = sorted(set(work.speech.speakers) - set(features.transforms))
    if fewer:
        log.warning(
            "sat: %d of %d speakers have fewer than %d frames of speech and are not adapted: %s",
            len(fewer), len(work.speech.speakers), least, ", ".join(fewer[:10]),
        )  # fmt: skip
    progress = kept[0] if kept else _tied(work, settings, "lda_mllt", features.frames, before.front)
    progress = loop.run(progress, features)
    progress, _ = _aligned(work, "sat", progress, features)
    by_state = sort_by_state(frame_states(work.speech.utterances, progress.alignments))
    found = accumulate(progress.model.mixtures, features.frames, by_state, counted=plain)
    first = update(progress.model.mixtures, found, min_occupancy=0.0)
    progress.model = replace(progress.model, first_mixtures=first)
    return progress, features


def _aligned(work: Work, stage: str, progress: Progress, features: FeatureUpdate) -> Trained:
    """Returns a trained stage with the alignments of all the speech by its model."""
    work.loop(stage, Iterations(1, align_at=())).align(progress, features.frames)
    return progress, features


def _flat_start(work: Work, speech: Speech, frames: Tensor) -> Progress:
    topology = work.settings.topology
    tree = monophone_tree(work.phones, topology)
    hmm = Hmm(tree, topology, transitions_of(topology, tree), work.compiler.lexicon)
    found = first_alignments(speech, work.compiler, hmm, work.given.times, work.settings.mfcc)
    states = frame_states(speech.utterances, found)
    return _first(work, states, frames, tree, work.settings.deltas, found)


def _first(
    work: Work,
    states: Tensor,
    frames: Tensor,
    tree: Tree,
    front: FrontEnd,
    alignments: dict[str, Alignment],
) -> Progress:
    """Returns a model of one Gaussian per state."""
    topology = work.settings.topology
    mixtures = single_gaussians(frames, states, tree.num_states)
    model = Model(topology, tree, transitions_of(topology, tree), mixtures, front)
    if work.settings.learn_transitions:
        learnt = learnt_transitions(model, list(alignments.values()))
        model = replace(model, transitions=learnt)
    return Progress(1, model, alignments, [])


def _tied(work: Work, settings: Tied, before: str, frames: Tensor, front: FrontEnd) -> Progress:
    """Grows a tree on features (N, D) and returns a model of its states."""
    _, alignments = work.left_by(before)
    known = [one for one in work.speech.utterances if one.name in alignments]
    contexts = np.concatenate([alignments[one.name].contexts() for one in known])
    rows = torch.cat([torch.arange(one.begin, one.end) for one in known])
    found = context_statistics(contexts.astype(np.int64), frames[rows].numpy())
    asked = work.asked(found)
    builder = TreeBuilder(found, work.phones, work.settings.topology, asked, settings.min_frames)
    growth = builder.grow(settings.states)
    log.info(
        "%d tied states of %d in context; %.3f in log-likelihood per frame better than without",
        growth.tree.num_states, len(found.contexts), growth.gain / len(contexts),
    )  # fmt: skip
    retied = {name: one.tied_by(growth.tree) for name, one in alignments.items()}
    states = frame_states(work.speech.utterances, retied)
    return _first(work, states, frames, growth.tree, front, retied)


def _lda(work: Work) -> Projection:
    """Returns the projection in which the tied states of the stage before differ most."""
    model, alignments = work.left_by("tri")
    dim, context = work.settings.lda.dim, work.settings.lda.context
    size = (2 * context + 1) * work.speech.frames.shape[1]
    found = ClassStatistics(model.tree.num_states, size)
    for utterance, cepstra in work.speech:
        if utterance.name in alignments:
            states = torch.from_numpy(alignments[utterance.name].states).long()
            found.add(spliced(cepstra, context), states)
    return Projection(discriminants(found, dim).matrix, context)
