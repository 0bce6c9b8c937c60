"""`asrkit check` and `asrkit show`: what can be known of an experiment before it is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from asrkit.config.build import build, dry_build
from asrkit.config.build import check as check_tree
from asrkit.config.explain import explain_key
from asrkit.config.factories import CheckedFactory, dry
from asrkit.config.problems import Problem, SpecError
from asrkit.config.yaml_loader import Spec
from asrkit.cpu import num_cores
from asrkit.data.decode_batches import refuse_endless
from asrkit.data.feasibility import SetReport, check_set
from asrkit.data.manifests import (
    Unusable,
    doubtful_path,
    unusable_path,
    without,
    write_unusable,
)
from asrkit.data.open_sets import OpenSets
from asrkit.data.set_facts import of_other_rate
from asrkit.data.training_limits import TrainingLimits
from asrkit.errors import UserError
from asrkit.experiment.aligned import alignment_problems
from asrkit.experiment.arithmetic import arithmetic_of
from asrkit.experiment.compare import interface_of
from asrkit.experiment.decode_spec import decode_problems, is_decode_spec
from asrkit.experiment.gmm_spec import GmmSpec, is_gmm_spec, open_inputs
from asrkit.experiment.model_tree import ModelTree, count_parameters, tree_of
from asrkit.experiment.open_data import OpenData, fitness_of
from asrkit.experiment.references import unwritable_elsewhere
from asrkit.experiment.search_check import UnreadModels, misused_scorers
from asrkit.experiment.spec import (
    Experiment,
    load_spec,
    make_tokenizer,
    rate_problems,
    resolve_spec,
)
from asrkit.experiment.train import stages_of
from asrkit.experiment.trial import MAX_PARAMETERS, trial_problem
from asrkit.models.interfaces import TrainableModel
from asrkit.text.vocabulary import Vocabulary
from asrkit.training.importing import import_weights
from asrkit.training.refusals import refuse_settings
from asrkit.training.trainer import Trainer

LIMITS = {
    "too short": "data.limits.min_seconds",
    "too long": "data.limits.max_seconds",
    "too many labels": "data.limits.max_labels",
}
"""The key that leaves out utterances for a reason."""
STAND_IN_LABELS = 100
"""Vocabulary size of a dry build where no data folder says the real one."""


@dataclass
class CheckReport:
    """What `asrkit check` found.

    Args:
        problems: Why the spec can't be built; empty where it can.
        unusable: Utterances that can't be used, by set.
        sets: What was found in each set.
        sample_rate: That the model hears.
        remarks: What else there is to know: of other references, and what the training will be.
    """

    problems: list[str] = field(default_factory=list)
    unusable: dict[str, list[Unusable]] = field(default_factory=dict)
    sets: dict[str, SetReport] = field(default_factory=dict)
    sample_rate: int = 16000
    remarks: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Returns the report for the console."""
        lines = [*self.problems]
        for name, report in self.sets.items():
            found, total = self.unusable[name], report.total
            lines.append(
                f"{name}: {total - len(found)} of {total} utterances can be used; the sound of "
                f"{report.heard} was looked at"
            )
            lines += _by_reason(found)
            lines += [f"{line} (used all the same)" for line in _by_reason(report.doubtful)]
            lines += [
                f"  {count} {of_other_rate(rate, self.sample_rate)}"
                for rate, count in sorted(report.rates.items())
                if rate != self.sample_rate
            ]
        return lines + self.remarks


def _by_reason(entries: Sequence[Unusable]) -> list[str]:
    """Returns how often each reason occurs, with an example."""
    examples = {entry.reason: entry for entry in reversed(entries)}
    return [
        f"  {count} x {reason}, such as {examples[reason].id}: {examples[reason].detail}"
        for reason, count in Counter(entry.reason for entry in entries).most_common()
    ]


def check(
    spec_path: Path, overrides: Sequence[str] = (), data: Path | None = None, processes: int = 1
) -> CheckReport:
    """Checks a spec, and every utterance of its sets if a data folder is given.

    Args:
        spec_path: YAML file of an experiment, of Gaussian mixtures, or of searches.
        overrides: `key=value` changes to it.
        data: Data folder; the unusable utterances are listed in its unusable/ folder.
        processes: How many will train together.
    """
    spec = load_spec(spec_path, overrides)
    if is_decode_spec(spec):
        if data is not None:
            raise UserError(
                f"{spec_path} has searches only, and no data to check: leave out --data"
            )
        return CheckReport(problems=[str(problem) for problem in decode_problems(spec)])
    if is_gmm_spec(spec):
        return _check_mixtures(spec, data)
    return _check_experiment(spec, data, processes)


def _check_mixtures(spec: Spec, data: Path | None) -> CheckReport:
    problems = check_tree(GmmSpec, spec) or dry_build(GmmSpec, spec)
    if problems or data is None:
        return CheckReport(problems=[str(problem) for problem in problems])
    return CheckReport(remarks=open_inputs(build(GmmSpec, spec), data).lines())


def _check_experiment(spec: Spec, data: Path | None, processes: int) -> CheckReport:
    problems = check_tree(Experiment, spec)
    if problems:
        return CheckReport(problems=[str(problem) for problem in problems])
    vocabulary = Vocabulary([f"label{index}" for index in range(STAND_IN_LABELS)])
    problems = dry_build(Experiment, spec)
    if problems:
        problems += dry_build(TrainableModel, spec, "model", {"vocabulary": vocabulary})
        return CheckReport(problems=[str(problem) for problem in problems])
    experiment, resolved = resolve_spec(spec)
    tokenizer = None if data is None else make_tokenizer(experiment, data)
    if tokenizer is not None:
        vocabulary = tokenizer.vocabulary
    problems = dry_build(TrainableModel, spec, "model", {"vocabulary": vocabulary})
    if problems:
        problems += _training_problems(experiment, None)
        return CheckReport(problems=[str(problem) for problem in problems])
    model = _meta_model(experiment, vocabulary)
    report = CheckReport(problems=[str(p) for p in _training_problems(experiment, model)])
    report.problems += _search_problems(experiment, vocabulary)
    report.problems += _phase_problems(experiment, resolved, vocabulary)
    report.problems += rate_problems(experiment, model) + alignment_problems(experiment, model)
    if not report.problems:
        report.problems += _trial_problems(experiment, model, vocabulary)
    if data is not None and tokenizer is not None and not report.problems:
        report.problems += _import_problems(experiment, resolved, vocabulary)
        opened = OpenData(experiment, data, tokenizer, OpenSets())
        found = _check_data(opened, report, processes)
        report.problems += [str(spec.located(problem)) for problem in found]
    return report


def _training_problems(experiment: Experiment, model: TrainableModel | None) -> list[Problem]:
    """Returns why a model can't be trained as the spec says; of its own parts, where None."""
    factory = experiment.training
    if not isinstance(factory, CheckedFactory):
        return []
    with dry() as found:
        if model is None or factory.target is not Trainer:
            factory.given_to(dict)()
        else:
            refuse = factory.given_to(refuse_settings)
            refuse(model=model, has_dev=bool(experiment.data.dev))
    return found


def _trial_problems(
    experiment: Experiment, model: TrainableModel, vocabulary: Vocabulary
) -> list[str]:
    """Returns what fails when a model with weights computes; nothing for one that is too large."""
    if count_parameters(model) > MAX_PARAMETERS:
        return []
    with torch.random.fork_rng(devices=[]):
        problem = trial_problem(
            experiment.model(vocabulary=vocabulary), vocabulary, experiment.data.sample_rate
        )
    return [] if problem is None else [problem]


def _phase_problems(
    experiment: Experiment, resolved: dict[str, Any], vocabulary: Vocabulary
) -> list[str]:
    try:
        stages = stages_of(experiment, resolved, Path())
    except UserError as error:
        return [str(error)]
    return [
        f"phases[{number}]: {problem}"
        for number, stage in enumerate(stages[:-1])
        for problem in dry_build(
            TrainableModel, Spec(stage.resolved), "model", {"vocabulary": vocabulary}
        )
    ]


def _import_problems(
    experiment: Experiment, resolved: dict[str, Any], vocabulary: Vocabulary
) -> list[str]:
    """Returns why the first stage can't start from the weights that it imports."""
    first = stages_of(experiment, resolved, Path())[0].experiment
    try:
        import_weights(_meta_model(first, vocabulary), first.imports)
    except UserError as error:
        return [str(error)]
    return []


def _meta_model(experiment: Experiment, vocabulary: Vocabulary) -> TrainableModel:
    with torch.device("meta"):
        return experiment.model(vocabulary=vocabulary)


def _search_problems(experiment: Experiment, vocabulary: Vocabulary) -> list[str]:
    models = UnreadModels(vocabulary, _meta_model(experiment, vocabulary).named_heads())
    return [
        f"decoding.{name}: {problem}"
        for name, search in experiment.decoding.items()
        for problem in misused_scorers(search, models)
    ]


def _check_data(opened: OpenData, report: CheckReport, processes: int) -> list[Problem]:
    """Looks at every utterance, then at what the training will be; returns what can't be."""
    problems = _check_utterances(opened, report)
    if problems or report.problems:
        return problems
    unusable = [entry for found in report.unusable.values() for entry in found]
    found = arithmetic_of(opened.experiment, opened.counted(unusable), processes)
    if found is None:
        return []
    report.remarks += found.lines()
    return list(found.problems())


def _check_utterances(opened: OpenData, report: CheckReport) -> list[Problem]:
    experiment, data, tokenizer = opened.experiment, opened.folder, opened.tokenizer
    if experiment.data.sample_rate is None:
        return []
    problems = []
    model = _meta_model(experiment, tokenizer.vocabulary)
    settings = experiment.speech
    report.sample_rate = settings.sample_rate
    for name in [*settings.train, *settings.dev]:
        fitness = fitness_of(experiment, tokenizer, model, name)
        limits = TrainingLimits(fitness, tokenizer, settings.limits)
        unfit = limits if name in settings.train else fitness
        found = check_set(opened.cuts([name]), unfit, settings.sample_rate, num_cores())
        unusable = found.unusable
        write_unusable(unusable_path(data, name), unusable)
        write_unusable(doubtful_path(data, name), found.doubtful)
        # Of no concern to other specs, so not in the data folder's list.
        listed = {entry.id for entry in unusable}
        misaligned = opened.misaligned(name, model)
        report.unusable[name] = unusable + [e for e in misaligned if e.id not in listed]
        report.sets[name] = found
        if len(report.unusable[name]) == found.total:
            problems.append(_emptied(name, report.unusable[name]))
        elif name in settings.dev:
            problems += _endless(opened, name, report.unusable[name])
    report.remarks += unwritable_elsewhere(data, tokenizer, report.sets)
    return problems


def _emptied(name: str, unusable: Sequence[Unusable]) -> Problem:
    """Returns what is wrong with a set of which nothing is left: a limit, if it is always that."""
    total = f"{name}: none of its {len(unusable)} utterances can be used"
    keys = {LIMITS.get(entry.reason) for entry in unusable}
    key = keys.pop() if len(keys) == 1 else None
    if key is None:
        return Problem("data", total)
    return Problem(key, f"{total}, such as {unusable[0].id}: {unusable[0].detail}")


def _endless(opened: OpenData, name: str, unusable: Sequence[Unusable]) -> list[Problem]:
    """Returns that an utterance of a dev set is too long to be evaluated, if one is."""
    never = [entry for entry in unusable if entry.reason not in LIMITS]
    try:
        most = opened.experiment.speech.decoding.max_seconds
        refuse_endless(without(opened.cuts([name]), never), most)
    except UserError as error:
        return [Problem("data.decoding.max_seconds", f"{name}: {error}")]
    return []


def show(spec_path: Path, overrides: Sequence[str] = (), data: Path | None = None) -> ModelTree:
    """Returns the tree of the model's modules with their parameter counts.

    Raises:
        SpecError: If the spec has problems.
    """
    return model_tree(load_spec(spec_path, overrides), data)


def model_tree(spec: Spec, data: Path | None) -> ModelTree:
    """Returns the tree of the modules of a spec's model; see `show`."""
    experiment, _ = resolve_spec(spec)
    vocabulary = Vocabulary([f"label{index}" for index in range(STAND_IN_LABELS)])
    if data is not None:
        vocabulary = make_tokenizer(experiment, data).vocabulary
    problems = dry_build(TrainableModel, spec, "model", {"vocabulary": vocabulary})
    if problems:
        raise SpecError(problems)
    model = _meta_model(experiment, vocabulary)
    return ModelTree(len(vocabulary), data is None, tree_of("model", model))


def explain(spec_path: Path, overrides: Sequence[str], key: str) -> str:
    """Returns the value of a key, where it came from, and what it does."""
    spec = load_spec(spec_path, overrides)
    return explain_key(interface_of(spec), spec, key)
