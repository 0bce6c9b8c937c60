"""`asrkit sweep`: many trials on a base; the worse ones end early, by their score on the dev set.

After each of the chosen epochs but the last, one of so many trials goes on. What is decided is a
function of the logs alone, so that a sweep that was killed and started again decides the same.

Source: successive halving, Jamieson and Talwalkar 2016.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrkit.config.explain import difference
from asrkit.config.yaml_loader import load
from asrkit.errors import UserError
from asrkit.experiment.ablation.plan import Planned, Study, planned
from asrkit.experiment.ablation.report import judged, log_of, numbers_of, write_report
from asrkit.experiment.ablation.space import Point
from asrkit.experiment.ablation.study import opened, run_rows
from asrkit.experiment.ablation.variants import Variant, variant_of, write_variant
from asrkit.experiment.spec import load_spec, resolve_spec
from asrkit.queues.cluster import Cluster
from asrkit.reports.ablation.numbers import RowNumbers
from asrkit.reports.ablation.trials import TrialNumbers, best_first, trial_parts
from asrkit.reports.ablation.trials_plot import draw_trials

INCOMPARABLE = re.compile(r"model\.heads(\.[^.]+(\.weight)?)?|data(\.dev)?")
"""Keys that change what the sum of all losses on the dev set means."""
Run = Callable[[Sequence[Planned], int | None], Mapping[str, str]]
"""Trains some trials to an epoch, or to the end; returns the problems of those that failed."""


@dataclass(frozen=True)
class Sweep:
    """What is asked for.

    Args:
        study: The base and its trials; its one epoch is the last.
        keys: That trials change.
        rungs: Epochs after which trials are compared, the last one included.
        reduction: One of so many goes on.
    """

    study: Study
    keys: Sequence[str]
    rungs: Sequence[int]
    reduction: int


@dataclass(frozen=True)
class SweepReport:
    """What a sweep has come to.

    Args:
        trials: All of them, the best first; the base is among them.
        best: Name of the best trial that was trained to its end; none if there is none.
        numbers: The base and the trials that were trained to their end.
        failed: Why trials are not done, by name.
        files: What was written.
        text: The report in Markdown.
    """

    trials: list[TrialNumbers]
    best: str | None
    numbers: list[RowNumbers]
    failed: dict[str, str]
    files: list[Path]
    text: str


def trial_variants(
    points: Sequence[Point], base: Path, overrides: Sequence[str], folder: Path
) -> list[Variant]:
    """Returns a variant for each point, but not for what the base has already.

    Args:
        points: Values by key.
        base: Spec file of the base.
        overrides: Changes to it.
        folder: Where their files will be.

    Raises:
        UserError: If there is nothing to try.
    """
    _, unchanged = resolve_spec(load_spec(base, overrides))
    found = []
    for number, point in enumerate(points, start=1):
        variant = variant_of(folder / f"trial-{number:03d}.yaml", dict(point))
        _, tree = resolve_spec(load(base, [*overrides, *variant.changes]))
        if difference(unchanged, tree):
            found.append(variant)
    if not found:
        raise UserError(f"no point of the space differs from {base}: give it other values")
    return found


def sweep(
    asked: Sweep, jobs: int = 1, train: bool = True, cluster: Cluster | None = None
) -> SweepReport:
    """Trains trials, ends the worse ones early, decodes those that are left, and reports all.

    Args:
        asked: What is asked for.
        jobs: How many trials are trained at a time.
        train: Whether anything is trained; else what is there is reported.
        cluster: Where trials are trained; on this machine if not given.

    Raises:
        UserError: If the base or a trial can't be trained, or trials can't be compared.
    """
    study = asked.study
    plan = planned(study)
    _refuse_incomparable(asked, plan[0])

    def run(trials: Sequence[Planned], until: int | None) -> Mapping[str, str]:
        rows = [row for each in trials for row in each.rows]
        return run_rows(study, rows, jobs, cluster, until)

    with opened(study.folder.path, "a sweep" if train else None):
        for variant in study.variants if train else ():
            write_variant(variant)
        left, problems = climb(asked, plan, run if train else lambda *_: {})
    return _reported(asked, plan, left, problems)


def climb(asked: Sweep, plan: Sequence[Planned], run: Run) -> tuple[list[Planned], dict[str, str]]:
    """Returns the trials that reached the last epoch, and the problems of those that failed.

    Args:
        asked: What is asked for.
        plan: The base, which is trained to its end in any case, and the trials.
        run: Trains.
    """
    base, left = plan[0], list(plan[1:])
    problems: dict[str, str] = {}
    for rung in asked.rungs[:-1]:
        problems |= run([base, *left], rung)
        left = best_of(left, {t.variant.name: score_at(asked, t, rung) for t in left}, asked)
    problems |= run([base, *left], None)
    return left, problems


def best_of(
    trials: Sequence[Planned], scores: Mapping[str, float | None], asked: Sweep
) -> list[Planned]:
    """Returns the trials that go on, in their order; those without a score do not."""
    known = {name: score for name, score in scores.items() if score is not None}
    ranked = sorted(known, key=lambda name: (not math.isfinite(known[name]), known[name]))
    names = ranked[: max(1, len(trials) // asked.reduction)]
    return [trial for trial in trials if trial.variant.name in names]


def score_at(asked: Sweep, trial: Planned, epoch: int) -> float | None:
    """Returns what a trial is judged by after an epoch; None if it has not come so far.

    One that has stopped early, as its spec says, has the score of its last epoch.
    """
    training = trial.tree["training"]
    log = [e for e in log_of(asked.study, trial.rows[0].name) if e["epoch"] <= epoch]
    if not log or (log[-1]["epoch"] < epoch and training.get("early_stopping") is None):
        return None
    return judged(log[-1], trial)


def _refuse_incomparable(asked: Sweep, base: Planned) -> None:
    """Refuses keys that change what trials are judged by.

    Raises:
        UserError: If there is one, and no score of its own to judge by.
    """
    changed = [key for key in asked.keys if INCOMPARABLE.fullmatch(key)]
    if changed and base.tree["training"].get("judged_by") is None:
        raise UserError(
            f"trials with another {', '.join(changed)} can't be compared by the sum of their "
            "losses: name the dev score to compare, such as training.judged_by=attention.errors"
        )


def _reported(
    asked: Sweep, plan: Sequence[Planned], left: Sequence[Planned], problems: Mapping[str, str]
) -> SweepReport:
    study = asked.study
    trials = best_first([_numbers(asked, each, problems) for each in plan])
    last = asked.rungs[-1]
    whole = [each for each in (plan[0], *left) if score_at(asked, each, last) is not None]
    picture = draw_trials(trials, asked.rungs, study.folder.trials_plot)
    before = trial_parts(trials, asked.keys, asked.rungs, asked.reduction, picture)
    rows = numbers_of(study, whole, problems) if plan[0] in whole else []
    files = write_report(study, rows, before)
    names = {each.variant.name for each in whole[1:]}
    best = next((trial.name for trial in trials if trial.name in names), None)
    files += [] if picture is None else [picture]
    text = study.folder.section.read_text(encoding="utf-8")
    failed = {trial.name: trial.problem for trial in trials if trial.problem}
    return SweepReport(trials, best, rows, failed, files, text)


def _numbers(asked: Sweep, trial: Planned, problems: Mapping[str, str]) -> TrialNumbers:
    """Returns what is known of a trial."""
    log = log_of(asked.study, trial.rows[0].name)
    return TrialNumbers(
        trial.variant.name,
        {key: value_at(trial.tree, key) for key in asked.keys},
        {entry["epoch"]: judged(entry, trial) for entry in log},
        problems.get(trial.rows[0].name, ""),
    )


def value_at(tree: Any, key: str) -> Any:
    """Returns what a key path leads to in a filled spec; None if nothing is there."""
    for step in re.findall(r"[^.\[\]]+|\[[0-9]+\]", key):
        try:
            tree = tree[int(step[1:-1]) if step.startswith("[") else step]
        except (KeyError, IndexError, TypeError):
            return None
    return tree
