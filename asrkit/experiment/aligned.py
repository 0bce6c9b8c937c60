"""Training on given alignments: whether spec and alignments fit, and which utterances do not."""

from __future__ import annotations

from collections.abc import Sequence
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
    spec = RunFolder(run).spec
    if not spec.is_file():
        raise UserError(f"data.alignments: {run} is not a run folder: it has no {spec.name}")
    if targets.spell_text:
        require_vocabulary(run, tokenizer.vocabulary)
    paths = [RunFolder(run).frames(name) for name in names]
    for path in paths:
        if not path.is_file():
            raise UserError(
                f"data.alignments: {path} is missing; write it with `asrkit align --run {run} "
                f"--set {path.stem} --data DIR --head HEAD{_speed_options(experiment, path.stem)}`"
            )
    return read_alignments(paths, targets)


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
