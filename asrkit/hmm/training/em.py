"""The loop of all stages: align, transform features, estimate Gaussians, make more of them.

After each iteration all that the next one needs is written, so a stage that was stopped, however
hard, loses no more than the iteration that it was in.
"""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from asrkit.files import json_line, write_lines, write_text
from asrkit.hmm.aligning import align, frame_states
from asrkit.hmm.alignments import Alignment, Alignments, read_alignments
from asrkit.hmm.gaussians import accumulate, mixed_up, sort_by_state, update
from asrkit.hmm.graphs import GraphCompiler, Transitions, transitions_of
from asrkit.hmm.model import Model, read_model
from asrkit.hmm.speech import Speech
from asrkit.hmm.training.feature_updates import FeatureUpdate
from asrkit.hmm.training.settings import Iterations
from asrkit.records import read_json, read_json_lines

PRIOR_FRAMES = 10.0
"""So many frames of a state are added that are as the topology says."""

log = logging.getLogger(__name__)


class Iteration(TypedDict):
    """A line of iterations.jsonl."""

    iteration: int
    log_likelihood: float
    gaussians: int
    failed: int
    seconds: float


class Reached(TypedDict):
    """progress.json: the last iteration that was written."""

    iteration: int


@dataclass
class Progress:
    """What a stage has before an iteration.

    Args:
        iteration: The next one.
        model: The model.
        alignments: By name of the utterance.
        lines: Of the log so far.
    """

    iteration: int
    model: Model
    alignments: dict[str, Alignment]
    lines: list[Iteration]


@dataclass(frozen=True)
class Loop:
    """The iterations of a stage.

    Args:
        speech: What is trained on.
        compiler: Makes the graphs of transcripts.
        schedule: What is done when.
        folder: Of the stage.
        beam: Of the alignments.
        learn_transitions: Whether costs of transitions are those of the alignments.
        jobs: Threads.
    """

    speech: Speech
    compiler: GraphCompiler
    schedule: Iterations
    folder: Path
    beam: float
    learn_transitions: bool
    jobs: int

    def run(self, progress: Progress, features: FeatureUpdate) -> Progress:
        """Returns what is there after the last iteration."""
        states = frame_states(self.speech.utterances, progress.alignments)
        while progress.iteration <= self.schedule.iterations:
            began, number, failed = time.monotonic(), progress.iteration, 0
            if number in self.schedule.align_at:
                failed = self.align(progress, features.frames)
                states = frame_states(self.speech.utterances, progress.alignments)
            if number in self.schedule.transform_at:
                progress.model = features.update(progress.model, states)
            likelihood = self._estimate(progress, features.frames, states)
            size, seconds = len(progress.model.mixtures), time.monotonic() - began
            line = Iteration(
                iteration=number,
                log_likelihood=round(likelihood, 4),
                gaussians=size,
                failed=failed,
                seconds=round(seconds, 2),
            )
            log.info("%s %s", self.folder.name, json_line(line))
            progress.lines.append(line)
            progress.iteration += 1
            write_lines(self.folder / "iterations.jsonl", map(json_line, progress.lines))
            self._keep(progress, features)
        return progress

    def align(self, progress: Progress, frames: Tensor) -> int:
        """Aligns the speech again; returns how many utterances keep what they had."""
        model = progress.model
        done = align(self.speech.utterances, frames, model, self.compiler, self.beam, self.jobs)
        progress.alignments = {**progress.alignments, **done.found}
        if done.failed:
            log.warning(
                "%s: %d of %d utterances have no path and keep their last alignment, if they have "
                "one; the first: %s",
                self.folder.name,
                len(done.failed),
                len(self.speech.utterances),
                ", ".join(done.failed[:3]),
            )
        if self.learn_transitions:
            learnt = learnt_transitions(model, list(progress.alignments.values()))
            progress.model = replace(model, transitions=learnt)
        return len(done.failed)

    def _estimate(self, progress: Progress, frames: Tensor, states: Tensor) -> float:
        """Estimates the Gaussians; returns the log-likelihood per frame before."""
        model, schedule, number = progress.model, self.schedule, progress.iteration
        found = accumulate(model.mixtures, frames, sort_by_state(states))
        mixtures = update(model.mixtures, found)
        if number <= schedule.grow_until:
            steps = schedule.grow_until - number + 1
            wanted = len(mixtures) + (schedule.gaussians - len(mixtures)) // steps
            counts = torch.bincount(states[states >= 0], minlength=mixtures.num_states)
            mixtures = mixed_up(mixtures, counts, wanted)
        progress.model = replace(model, mixtures=mixtures)
        return found.log_likelihood / max(found.frames, 1)

    def _keep(self, progress: Progress, features: FeatureUpdate) -> None:
        """Writes what the next iteration needs."""
        place = self.folder / "progress" / str(progress.iteration)
        write_all(place, progress, features)
        write_text(
            self.folder / "progress.json", json_line(Reached(iteration=progress.iteration)) + "\n"
        )
        for old in place.parent.iterdir():
            if old != place:
                shutil.rmtree(old)


def write_all(folder: Path, progress: Progress, features: FeatureUpdate) -> None:
    """Writes model, alignments and transforms into a folder."""
    progress.model.write(folder)
    features.write(folder)
    found = {(name, 1.0): one for name, one in progress.alignments.items()}
    Alignments(found).write(folder / "alignments.safetensors")


def kept_progress(folder: Path) -> tuple[Progress, Path] | None:
    """Returns where a stage was stopped, and the folder of its files; None if it never began."""
    if not (folder / "progress.json").is_file():
        return None
    iteration = read_json(folder / "progress.json", Reached)["iteration"]
    place = folder / "progress" / str(iteration)
    lines = list(read_json_lines(folder / "iterations.jsonl", Iteration))[: iteration - 1]
    found = read_alignments(place / "alignments.safetensors")
    alignments = {name: one for (name, _), one in found.items()}
    return Progress(iteration, read_model(place), alignments, lines), place


def forget_progress(folder: Path) -> None:
    """Removes what was kept for going on."""
    (folder / "progress.json").unlink(missing_ok=True)
    shutil.rmtree(folder / "progress", ignore_errors=True)


def learnt_transitions(model: Model, alignments: list[Alignment]) -> Transitions:
    """Returns costs of loops and forward arcs by how often each happens, per tied state.

    Args:
        model: Its topology says what is likely where little was seen.
        alignments: What was seen.
    """
    size = model.tree.num_states
    frames, visits = np.zeros(size), np.zeros(size)
    for one in alignments:
        frames += np.bincount(one.states, minlength=size)
        starts = np.zeros(len(one), np.bool_)
        starts[one.starts] = True
        starts[1:] |= np.diff(one.positions) != 0
        visits += np.bincount(one.states[starts], minlength=size)
    before = transitions_of(model.topology, model.tree)
    loops, forwards = np.exp(-before.loops), np.exp(-before.forwards)
    expected = loops / (loops + forwards)  # they need not sum to 1
    stay = (frames - visits + PRIOR_FRAMES * expected) / (frames + PRIOR_FRAMES)
    stay = stay.clip(1e-3, 1 - 1e-3)
    costs = -np.log(stay), -np.log(1 - stay)
    return Transitions(*(cost.astype(np.float32) for cost in costs))
