"""Training on given alignments: whether spec and alignments fit, and which utterances do not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from asrkit.data.alignment_text import Symbols
from asrkit.data.alignments import Alignments, read_alignments
from asrkit.data.frame_targets import FrameTargets
from asrkit.data.manifests import Unusable
from asrkit.data.misaligned import misaligned
from asrkit.errors import UserError
from asrkit.experiment.runs import require_vocabulary
from asrkit.experiment.said_phones import read_phones
from asrkit.experiment.spec import Experiment
from asrkit.hmm.denominator_file import read_denominator
from asrkit.hmm.graphs import GraphCompiler
from asrkit.hmm.hmm_folder import Hmm, copy_hmm, digest_of, read_hmm
from asrkit.hmm.said_graphs import SaidGraphs
from asrkit.losses.mmi_graphs import Denominator
from asrkit.losses.said_graphs import SaidGraph
from asrkit.models.heads.lf_mmi import Graphs, LfMmiHead
from asrkit.models.interfaces import TrainableModel
from asrkit.run_folder import RunFolder
from asrkit.text.outputs import Outputs
from asrkit.text.tokenizers import Tokenizer

log = logging.getLogger(__name__)
GRAPHS = 5_000
"""Graphs of transcripts that are kept, of about 30 kB each."""


def alignment_problems(experiment: Experiment, model: TrainableModel) -> list[str]:
    """Returns why a model can't be trained with or without alignments; nothing where it can."""
    heads = {n: h.given_targets for n, h in model.named_heads().items() if h.given_targets}
    given = experiment.data.alignments
    flat = [
        n for n, h in model.named_heads().items() if isinstance(h, LfMmiHead) and n not in heads
    ]
    if flat and given is None:
        return [
            f"model.heads.{flat[0]} needs tied states, data.alignments is null: give the run "
            "folder that `asrkit chain --lexicon` has made of transcripts"
        ]
    if heads and given is None:
        return [
            f"model.heads.{next(iter(heads))} is trained on alignments, data.alignments is null: "
            "give the run folder whose `asrkit align` wrote them, or another criterion"
        ]
    if given is None:
        return []
    if not heads and flat:
        return []
    if not heads:
        return [
            f"data.alignments is {given}, but no head has criterion: alignment or is trained on "
            "alignments in another way"
        ]
    first, *others = heads
    moved = [] if heads[first].rate == "sequence" else model.moves_frames()
    problems = [
        f"{part} moves frames, so that alignments no longer hold: leave it out, or use "
        "data.speeds, which are aligned one by one"
        for part in moved
    ]
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
    folder = RunFolder(run)
    paths = [_frames(experiment, folder, name) for name in names]
    if targets.rate == "sequence":
        return _said(experiment, folder, paths, targets)
    found = read_alignments(paths, targets)
    _require_tree(folder, found, paths[0])
    for name in names:
        for speed in experiment.speech.speeds_of(name):
            found.symbols |= _of_speed(folder, name, speed, targets)
    return found


def _said(
    experiment: Experiment, run: RunFolder, paths: list[Path], targets: FrameTargets
) -> Alignments:
    """Returns the phones of utterances; those of speed 1 where there are none of another speed."""
    found = read_phones(paths, targets, run.hmm)
    _require_tree(run, found, paths[0])
    for (key, speed), symbols in list(found.symbols.items()):
        if speed == 1.0:
            for other in experiment.speech.speeds:
                found.symbols.setdefault((key, other), symbols)
    return found


def _require_tree(run: RunFolder, found: Alignments, path: Path) -> None:
    if found.tree and run.hmm.is_dir() and digest_of(run.hmm) != found.tree:
        raise UserError(
            f"{path} has states of another tree than {run.hmm}, which has changed since: "
            "align again"
        )


def _of_speed(
    run: RunFolder, name: str, speed: float, targets: FrameTargets
) -> dict[tuple[str, float], Symbols]:
    """Returns the alignments of a set that were made of features of a speed, if there are some.

    These are a set of their own, SET-sp0.9, whose utterances are named sp0.9-UTTERANCE.
    """
    path = run.frames(f"{name}-sp{speed:g}")
    if speed == 1.0 or not path.is_file():
        return {}
    found = read_alignments([path], targets).symbols
    return {(key.removeprefix(f"sp{speed:g}-"), speed): found[key, of] for key, of in found}


def keep_hmm(
    experiment: Experiment, targets: FrameTargets | None, run: Path, has_begun: bool
) -> None:
    """Copies the HMM whose states a run is trained on into its folder, which then needs no other.

    Args:
        experiment: Whose data.alignments has the HMM.
        targets: What the model is trained on.
        run: The folder.
        has_begun: Whether it has checkpoints; its HMM is kept then.
    """
    source = experiment.data.alignments
    if source is None or targets is None or targets.spell_text:
        return
    hmm, own = RunFolder(source).hmm, RunFolder(run).hmm
    if hmm.is_dir():
        if not (has_begun and own.is_dir()):
            copy_hmm(hmm, own)
    elif targets.outputs == Outputs.states(len(targets.outputs)):
        log.warning(
            "%s has no HMM: without it states can be trained on, but words can't be aligned or "
            "recognised with %s",
            source,
            run,
        )


def state_targets(model: TrainableModel) -> FrameTargets | None:
    """Returns the tied states, or whatever else has an HMM, that a model is trained on."""
    heads = model.named_heads().values()
    flat = (head.state_targets for head in heads if isinstance(head, LfMmiHead))
    return model.given_targets or next(flat, None)


def give_denominators(experiment: Experiment, model: TrainableModel, tokenizer: Tokenizer) -> None:
    """Gives heads of LF-MMI what phones can say, which is with the alignments.

    Args:
        experiment: Whose data.alignments tells where that is.
        model: Whose heads get it.
        tokenizer: Tells the words of labels, where nothing is aligned.

    Raises:
        UserError: If there is none, or it has more states than a head.
    """
    source = experiment.data.alignments
    for name, head in model.named_heads().items():
        if isinstance(head, LfMmiHead) and source is not None:
            try:
                denominator = read_denominator(RunFolder(source).hmm)
                hmm = read_hmm(RunFolder(source).hmm)
                flat = head.given_targets is None
                graphs = _graphs(hmm, denominator, tokenizer) if flat else None
                head.learn_from(denominator, graphs, hmm.tree.phones.independent)
            except ValueError as error:
                raise UserError(f"model.heads.{name}: {error}") from error


def _graphs(hmm: Hmm, denominator: Denominator, tokenizer: Tokenizer) -> Graphs:
    """Returns what makes graphs of labels, by the lexicon of an HMM."""
    compiler = GraphCompiler(hmm.lexicon, hmm.tree.phones, unknown_as_noise=True)
    make = SaidGraphs(compiler, denominator)

    @lru_cache(maxsize=GRAPHS)
    def made(labels: tuple[int, ...]) -> SaidGraph | None:
        return make(tokenizer.decode(list(labels)).split())

    return lambda labels: made(tuple(labels))


def require_same_hmm(experiment: Experiment, run: Path) -> None:
    """Checks that a run continues with states of the tree that it began with.

    Raises:
        UserError: If its alignments are of another tree now.
    """
    source, own = experiment.data.alignments, RunFolder(run).hmm
    if source is None or not own.is_dir() or not RunFolder(source).hmm.is_dir():
        return
    if digest_of(own) != digest_of(RunFolder(source).hmm):
        raise UserError(
            f"{run} was trained on states of another tree than {source} has now: train again in "
            "another --run folder"
        )


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
            f"--set {name} --data {_data_of(run)} --head HEAD{_speed_options(experiment, name)}`"
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
    speeds = experiment.speech.speeds_of(name)
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


def _data_of(run: RunFolder) -> str:
    """Returns the data folder that a run's head hears, if that is known."""
    features = run.path / "data"
    return str(features) if features.is_dir() else "DIR"


def _speed_options(experiment: Experiment, name: str) -> str:
    speeds = experiment.speech.speeds_of(name)
    return "" if speeds == [1.0] else "".join(f" --speed {speed:g}" for speed in speeds)
