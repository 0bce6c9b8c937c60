"""The verb `asrkit sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit.cli.answers import IncompleteError
from asrkit.cli.options import FILE, data_option, overrides_argument, threads_option
from asrkit.cli.study_options import (
    base_option,
    cluster_option,
    cluster_settings_option,
    out_option,
    read_epochs,
    report_option,
    rows_at_a_time_option,
    searches_option,
    sets_option,
    spec_option,
)
from asrkit.terminal import say

if TYPE_CHECKING:
    from asrkit.experiment.ablation.sweep import SweepReport


@click.command()
@base_option
@click.option("--space", type=FILE, required=True, help="File of keys and the values to try.")
@data_option
@out_option
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    help="Number of random draws; by default, all values of each key are tried with all others.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the random draws.")
@click.option(
    "--epochs",
    callback=read_epochs,
    help="After which trials are compared, such as 3,9,27; training ends with the last. By "
    "default, only the last of the base.",
)
@click.option(
    "--reduction",
    type=click.IntRange(min=2),
    default=3,
    show_default=True,
    help="After each of the epochs but the last, one trial of so many goes on.",
)
@sets_option
@searches_option
@spec_option
@rows_at_a_time_option
@cluster_option
@cluster_settings_option
@report_option
@threads_option
@overrides_argument
def sweep(
    base: Path,
    space: Path,
    data: Path,
    out: Path,
    trials: int | None,
    seed: int,
    epochs: list[int],
    reduction: int,
    sets: tuple[str, ...],
    searches: tuple[str, ...],
    spec: Path | None,
    jobs: int,
    cluster: str | None,
    cluster_options: dict[str, object],
    report: bool,
    overrides: tuple[str, ...],
) -> SweepReport:
    """Try values of keys, end the worse trials early, and tell how good the others are.

    A space is a YAML file such as `model.encoder.dim: [96, 144]` and `training.schedule.peak: {low:
    1e-4, high: 1e-2, scale: log}`. Trials are judged on the dev set, as checkpoints are. What is
    done is skipped, and what was interrupted continues.

    Example: asrkit sweep --base conf/x.yaml --space conf/space.yaml --data data --out s --report
    """
    from asrkit import experiment
    from asrkit.ablation_folder import SWEEP, AblationFolder
    from asrkit.experiment.ablation.plan import Study, last_epoch
    from asrkit.experiment.ablation.space import drawn, grid, read_space
    from asrkit.experiment.ablation.sweep import Sweep, trial_variants
    from asrkit.queues.cluster import cluster_of

    plugins = click.get_current_context().find_root().params.get("plugin") or ()
    folder = AblationFolder(out, SWEEP)
    keys = read_space(space)
    points = grid(keys) if trials is None else drawn(keys, trials, seed)
    variants = trial_variants(points, base, overrides, folder.trials)
    rungs = sorted(set(epochs)) or [last_epoch(base, overrides)]
    study = Study(
        base,
        variants,
        data,
        folder,
        rungs[-1:],
        sets,
        searches,
        spec,
        overrides=overrides,
        plugins=plugins,
    )
    place = cluster_of(cluster, cluster_options, folder.cluster)
    found = experiment.sweep(Sweep(study, list(keys), rungs, reduction), jobs, not report, place)
    say(found.text)
    if found.failed and not report:
        lines = [f"{name}: {problem}" for name, problem in found.failed.items()]
        raise IncompleteError(
            "\n".join([f"{len(lines)} of {len(found.trials)} trials failed", *lines]), found
        )
    return found
