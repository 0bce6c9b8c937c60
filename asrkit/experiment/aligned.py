"""Training on given alignments: whether spec and alignments fit, and which utterances do not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from asrkit.data.alignments import Alignments, read_alignments
from asrkit.data.frame_targets import FrameTargets
from asrkit.data.manifests import Unusable
from asrkit.data.misaligned import misaligned
from asrkit.errors import UserError
from asrkit.experiment.runs import require_vocabulary
from asrkit.experiment.spec import Experiment
from asrkit.models.interfaces import TrainableModel
from asrkit.run_folder import RunFolder
from asrkit.text.tokenizers import Tokenizer

log = logging.getLogger(__name__)


def alignment_problems(experiment: Experiment, model: TrainableModel) -> list[str]:
    """Returns why a model can't be trained with or without alignments; nothing where it can."""
    heads = {n: h.given_targets for n, h in model.named_heads().items() if h.given_targets}
    given = experiment.data.alignments
    if heads and given is None:
        return [
            f"model.heads.{next(iter(heads))} is trained on alignments, data.alignments is null: "
            "give the run folder whose `asrkit align` wrote them, or another criterion"
        ]
    if given is None:
        return []
    if not heads:
        return [
            f"data.alignments is {given}, but no head has criterion: alignment or is trained on "
            "alignments in another way"
        ]
    problems = [
        f"{part} moves frames, so that alignments no longer hold: leave it out, or use "
        "data.speeds, which are aligned one by one"
        for part in model.moves_frames()
    ]
    first, *others = heads
    if any(heads[other] != heads[first] for other in others):
        told = "; ".join(f"{name}: {targets.told()}" for name, targets in heads.items())
        problems.append(
            f"heads {', '.join(heads)} need alignments of different topologies or outputs: {told}"
        )
    return problems


def open_alignments(
    experiment: Experiment, tokenizer: Tokenizer, targets: FrameTargets | None, names: list[str]
) -> Alignments | None:
    """Returns the alignments of some sets, None where the spec or the model has none.

    Args:
        experiment: Whose data.alignments is read.
        tokenizer: Of its texts.
        targets: What the model is trained on.
        names: Of the sets.

    Raises:
        UserError: If a set has none, or they are of other labels or other outputs.
    """
    run = experiment.data.alignments
    if run is None or targets is None:
        return None
    if targets.spell_text:
        require_vocabulary(run, tokenizer.vocabulary)
    return read_alignments([_frames(experiment, RunFolder(run), name) for name in names], targets)


def _frames(experiment: Experiment, run: RunFolder, name: str) -> Path:
    """Returns the file with the alignments of a set.

    Raises:
        UserError: If there is none.
    """
    path, older = run.frames(name), run.older_frames(name)
    if not path.is_file() and older.is_file():
        _tell_older(older)
        return older
    if not path.is_file() and not run.spec.is_file():
        raise UserError(
            f"data.alignments: {run.path} is not a run folder: it has no {run.spec.name}, nor "
            f"imported alignments {path}"
        )
    if not path.is_file():
        raise UserError(
            f"data.alignments: {path} is missing; write it with `asrkit align --run {run.path} "
            f"--set {name} --data DIR --head HEAD{_speed_options(experiment, name)}`"
        )
    return path


@cache
def _tell_older(path: Path) -> None:
    """Says once in a process that a file is of an older version."""
    log.info("%s: text of an older version is read; `asrkit align` now writes arrays", path)


def list_misaligned(
    experiment: Experiment,
    tokenizer: Tokenizer,
    model: TrainableModel,
    cuts: Sequence[Any],
    name: str,
) -> list[Unusable]:
    """Returns the utterances of a set that can't be trained on their alignments.

    Raises:
        UserError: If none can.
    """
    alignments = open_alignments(experiment, tokenizer, model.given_targets, [name])
    if alignments is None:
        return []
    speeds = _speeds(experiment, name)
    found = misaligned(
        cuts,
        alignments,
        speeds,
        tokenizer,
        model.target_frames,
        experiment.speech.sample_rate,
    )
    if cuts and len(found) == len(cuts):
        hint = f"align with{_speed_options(experiment, name)}, " if speeds != [1.0] else ""
        raise UserError(
            f"no utterance of {name} can be trained on its alignment in "
            f"{experiment.speech.alignments}, such as {found[0].id}: {found[0].reason}: "
            f"{found[0].detail}; {hint}with the same data folder and a model of the same frame "
            "rate and topology"
        )
    return found


def _speeds(experiment: Experiment, name: str) -> list[float]:
    return experiment.speech.speeds if name in experiment.data.train else [1.0]


def _speed_options(experiment: Experiment, name: str) -> str:
    speeds = _speeds(experiment, name)
    return "" if speeds == [1.0] else "".join(f" --speed {speed:g}" for speed in speeds)
