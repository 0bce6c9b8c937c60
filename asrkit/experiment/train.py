"""`asrkit train`: from a spec, a data folder and a run folder to checkpoints."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from asrkit.config.problems import SpecError
from asrkit.config.yaml_loader import Spec
from asrkit.data.manifests import Unusable, read_unusable, write_unusable
from asrkit.data.open_sets import OpenSets
from asrkit.errors import UserError
from asrkit.experiment.aligned import (
    alignment_problems,
    give_denominators,
    keep_hmm,
    require_same_hmm,
    state_targets,
)
from asrkit.experiment.arithmetic import arithmetic_of, refuse_impossible
from asrkit.experiment.claim import claim_run
from asrkit.experiment.model_tree import count_parameters
from asrkit.experiment.open_data import OpenData
from asrkit.experiment.phases import phase_ends, phase_folder, phase_trees
from asrkit.experiment.pictures import DevPictures
from asrkit.experiment.record import record_command, record_environment
from asrkit.experiment.runs import record_tokenizer, require_vocabulary
from asrkit.experiment.spec import (
    Experiment,
    load_spec,
    make_tokenizer,
    rate_problems,
    resolve_spec,
)
from asrkit.experiment.statistics import estimate_statistics
from asrkit.files import copy_file
from asrkit.models.interfaces import TrainableModel
from asrkit.owners import owned
from asrkit.run_files import read_epochs
from asrkit.run_folder import RunFolder
from asrkit.text.vocabulary import Vocabulary
from asrkit.training.checkpoints import load, read_index, resolve
from asrkit.training.curves import plot_curves
from asrkit.training.distributed import World, init_distributed
from asrkit.training.growing import grow, kept_moments
from asrkit.training.importing import freeze, import_weights
from asrkit.training.job import Job
from asrkit.training.trainer import Trainer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """A part of training with its own spec and run folder: a phase, or what follows.

    Args:
        experiment: Its checked spec.
        resolved: Every value of it.
        run: Its folder.
        last_update: Its end, if it is not that of an epoch.
        hands_on_moments: Whether the next one's optimiser begins with what this one's knows.
    """

    experiment: Experiment
    resolved: dict[str, Any]
    run: Path
    last_update: int | None = None
    hands_on_moments: bool = True

    @property
    def has_begun(self) -> bool:
        """Whether there is a checkpoint to continue from."""
        return bool(read_index(RunFolder(self.run).checkpoints))


@dataclass(frozen=True)
class Trained:
    """The result of training so far.

    Args:
        run: The run folder.
        epochs: The numbers of each epoch, as the log has them.
    """

    run: Path
    epochs: list[dict[str, Any]]


def train(
    spec_path: Path, overrides: Sequence[str], data: Path, run: Path, until: int | None = None
) -> Trained:
    """Trains until the last epoch, continuing from the newest checkpoint if there is one.

    Args:
        spec_path: The experiment's YAML file.
        overrides: `key=value` changes to it.
        data: Data folder with manifests/ and text/.
        run: Folder of this run; made if missing.
        until: An earlier epoch, after which it ends for now, if set.

    Raises:
        UserError: If spec, data or run folder can't be used as they are.
    """
    spec = load_spec(spec_path, overrides)
    stages = stages_of(*resolve_spec(spec), run)
    world = init_distributed()
    with world.alone(owned(run, "training")):
        try:
            train_stages(stages, data, run, world, until)
        except SpecError as error:
            raise SpecError([spec.located(problem) for problem in error.problems]) from error
    return Trained(run, _epochs(run))


def train_stages(
    stages: Sequence[Stage], data: Path, run: Path, world: World, until: int | None = None
) -> None:
    """Trains the phases that are not finished, and what follows them.

    Args:
        stages: All of them.
        data: Data folder.
        run: The folder of the last one.
        world: All processes.
        until: An earlier epoch, after which training ends for now, if set.
    """
    if world.rank == 0:
        log.info(
            "training on %s: %d process(es) with %d CPU thread(s) each; --threads changes that",
            world.device.type,
            world.size,
            torch.get_num_threads(),
        )
    first = max((n for n, stage in enumerate(stages) if stage.has_begun), default=0)
    sets = OpenSets()
    updates = partial(all_updates, stages[-1].experiment, data, sets, world) if stages[1:] else None
    if updates is not None and not first and stages[0].last_update is not None:
        updates()  # refuses phases that are too long
    for number in range(first, len(stages)):
        before = stages[number - 1] if number else None
        trainer = trainer_of(stages[number], before, data, sets, world, updates)
        if stages[number] is stages[-1]:
            sets.release()
        trainer.run(until)
        world.barrier()
        if until is not None and trainer.epoch > until:
            break
    if world.rank == 0:
        try:
            plot_curves(RunFolder(run).log, RunFolder(run).curves)
        except (OSError, ValueError, RuntimeError) as error:  # all is saved: this is only shown
            log.warning("can't plot learning curves: %s", error)


def stages_of(experiment: Experiment, resolved: dict[str, Any], run: Path) -> list[Stage]:
    """Returns the phases of an experiment, and what follows them.

    Raises:
        UserError: If a phase's spec is wrong.
    """
    stages, phases = [], experiment.phases
    each = zip(phases, phase_trees(resolved, phases), phase_ends(phases), strict=True)
    for number, (phase, tree, last_update) in enumerate(each, start=1):
        try:
            whole = resolve_spec(Spec(tree))
            kept = phase.moments == "kept"
            stages.append(Stage(*whole, phase_folder(run, number), last_update, kept))
        except UserError as error:
            raise UserError(f"phases[{number - 1}]: {error}") from error
    return [*stages, Stage(experiment, resolved, run)]


def all_updates(experiment: Experiment, data: Path, sets: OpenSets, world: World) -> int:
    """Returns the number of updates of training with phases, assuming the data of the last one.

    Raises:
        SpecError: If phases last all of them.
    """
    opened = OpenData(experiment, data, make_tokenizer(experiment, data), sets)
    found = arithmetic_of(experiment, opened.counted(), world.size)
    assert found is not None, "only asrkit's trainer asks"
    problems = list(found.long_phases())
    if problems:
        raise SpecError(problems)
    return found.updates


def trainer_of(
    stage: Stage,
    before: Stage | None,
    data: Path,
    sets: OpenSets,
    world: World,
    updates: Callable[[], int] | None = None,
) -> Trainer:
    """Returns what trains a stage to its last epoch.

    Args:
        stage: What is trained.
        before: The finished stage that it starts from, if it is not the first.
        data: Data folder.
        sets: Those of it that were opened.
        world: All processes.
        updates: Returns those of all stages, if there are several.
    """
    experiment, run = stage.experiment, stage.run
    tokenizer = make_tokenizer(experiment, data)
    torch.manual_seed(experiment.seed)
    model = experiment.model(vocabulary=tokenizer.vocabulary)
    for problem in rate_problems(experiment, model) + alignment_problems(experiment, model):
        raise UserError(problem)
    if stage.has_begun:
        require_vocabulary(run, tokenizer.vocabulary)
        require_same_hmm(experiment, run)
    give_denominators(experiment, model, tokenizer)
    opened = OpenData(experiment, data, tokenizer, sets, model.given_targets)
    train_data = dev_data = None
    if world.rank == 0:  # nothing is written before it is known that this can be trained
        left_out = what_is_left_out(opened, run, model)
        train_data = opened.training(left_out, world.rank, world.size)
        dev_data = opened.dev(left_out, world.rank, world.size)
        new = updates is None and not stage.has_begun
        refuse_impossible(experiment, train_data, world.size, whole=new)
        record_run(stage, before, opened, model, left_out)
    world.barrier()
    left_out = read_unusable(RunFolder(run).left_out)
    train_data = train_data or opened.training(left_out, world.rank, world.size)
    dev_data = dev_data or opened.dev(left_out, world.rank, world.size)
    features = model.statistics()
    if features is not None:  # of the same sample, however many processes train
        estimate_statistics(features, partial(opened.training, left_out), run, world)
    if before is None:
        import_start(experiment, model, tokenizer.vocabulary, run, world)
    pictures = DevPictures(tokenizer, dev_data)
    job = Job(train_data, dev_data, run, experiment.seed, pictures, updates, stage.last_update)
    make_trainer = partial(experiment.training, job=job)
    if before is None or stage.has_begun:
        return make_trainer(model=model)
    return grown_trainer(stage, before, model, tokenizer.vocabulary, make_trainer)


def record_run(
    stage: Stage,
    before: Stage | None,
    opened: OpenData,
    model: TrainableModel,
    left_out: list[Unusable],
) -> None:
    """Writes into the run's folder what is trained there, on what and how."""
    run = stage.run
    trains = claim_run(run, stage.resolved)
    if before is not None and not stage.has_begun:
        inherit_files(before.run, run)
    write_unusable(RunFolder(run).left_out, left_out)
    record_tokenizer(run, opened.tokenizer)
    keep_hmm(stage.experiment, state_targets(model), run, stage.has_begun)
    if trains:
        record_command(run)
        record_environment(run, parameters=count_parameters(model))


def grown_trainer(
    stage: Stage,
    before: Stage,
    model: TrainableModel,
    vocabulary: Vocabulary,
    make_trainer: Callable[..., Trainer],
) -> Trainer:
    """Returns the trainer of a stage that continues from the last checkpoint of the one before."""
    with torch.device("meta"):
        smaller = before.experiment.model(vocabulary=vocabulary)
    path = resolve(before.run, "last")
    state = load(path)
    grown = grow(model, smaller, state["model"])
    log.info("phase: from %s: %s", path, grown)
    settings = [s.resolved["training"] for s in (stage, before)]
    alike = before.hands_on_moments and all(
        settings[0].get(key) == settings[1].get(key) for key in ("optimizer", "freeze")
    )
    trainer = make_trainer(model=model)
    moments = {}
    if alike:
        freeze(smaller, settings[1].get("freeze", []))
        moments = kept_moments(model, smaller, trainer.make_optimizer, state["optimizer"], grown)
    trainer.take_over(state, moments, same_model=grown.same_shapes and alike)
    return trainer


def inherit_files(before: Path, run: Path) -> None:
    """Copies what a stage keeps of the one before: statistics and the log."""
    old, new = RunFolder(before), RunFolder(run)
    for source, target in ((old.statistics, new.statistics), (old.log, new.log)):
        if source.is_file():
            copy_file(source, target)


def import_start(
    experiment: Experiment, model: nn.Module, vocabulary: Vocabulary, run: Path, world: World
) -> None:
    """Gives a new run its imported weights; a run with checkpoints continues without."""
    if not experiment.imports or read_index(run / "checkpoints"):
        return
    imported = import_weights(model, experiment.imports)
    if world.rank == 0:
        for settings in experiment.imports:
            warn_of_other_labels(settings.run, vocabulary)
        imported.write(RunFolder(run).imported, model)
        log.info("%s; the list is in %s", imported.summary(model), RunFolder(run).imported)


def warn_of_other_labels(run: Path, vocabulary: Vocabulary) -> None:
    """Says where imported weights of labels would mean other labels."""
    try:
        require_vocabulary(run, vocabulary)
    except UserError as error:
        log.warning("imports: weights of labels do not fit: %s; or leave them out", error)


def what_is_left_out(opened: OpenData, run: Path, model: TrainableModel) -> list[Unusable]:
    """Returns the utterances that a run can't use, whatever the limits of training.

    A run that continues keeps its own list: checks of other specs must not change its data. Each
    phase has its own: what one leaves out, the next may use.
    """
    if RunFolder(run).left_out.is_file():
        return list(read_unusable(RunFolder(run).left_out))
    entries: list[Unusable] = []
    for name in (*opened.experiment.data.train, *opened.experiment.data.dev):
        found = list(opened.unusable(name, model))
        for reason, count in Counter(entry.reason for entry in found).items():
            log.warning("%s: %d utterances are left out: %s", name, count, reason)
        entries += found
    return entries


def _epochs(run: Path) -> list[dict[str, Any]]:
    log_file = RunFolder(run).log
    return read_epochs(log_file) if log_file.is_file() else []
