"""The verb `asrkit ablate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from asrkit.cli.answers import IncompleteError
from asrkit.cli.options import (
    FILE,
    FOLDER,
    SEARCH,
    SET,
    data_option,
    overrides_argument,
    threads_option,
)
from asrkit.terminal import say


@dataclass(frozen=True)
class RowDone:
    """The run folder of a row that is trained, decoded and scored."""

    run: Path


def _epochs(context: click.Context, parameter: click.Parameter, text: str | None) -> list[int]:
    try:
        return [] if text is None else [int(word) for word in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r}: expected numbers, such as 50,80,120") from None


def _seeds(
    context: click.Context, parameter: click.Parameter, words: Sequence[str]
) -> dict[str, int]:
    found = {}
    for word in words:
        name, _, number = word.rpartition("=")
        if not number.isdecimal() or int(number) < 1:
            raise click.BadParameter(f"{word!r}: expected a number, such as 3, or NAME=3")
        found[name] = int(number)
    return found


def _settings(
    context: click.Context, parameter: click.Parameter, words: Sequence[str]
) -> dict[str, object]:
    from asrkit.config.yaml_text import scalar

    found: dict[str, object] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"{word!r}: expected KEY=VALUE, such as timeout_min=600")
        found[name] = scalar(value)
    return found


@click.command()
@click.option("--base", type=FILE, required=True, help="Spec file that variants are put on.")
@click.option(
    "--variants",
    type=FILE,
    multiple=True,
    help="File of a variant, or a folder of them; repeatable.",
)
@data_option
@click.option("--out", type=FOLDER, required=True, help="Folder of all runs and the report.")
@click.option(
    "--set", "sets", type=SET, multiple=True, required=True, help="Set to decode; repeatable."
)
@click.option("--search", type=SEARCH, required=True, help="Name of the search.")
@click.option("--spec", type=FILE, help="File whose decoding: replaces that of the base.")
@click.option(
    "--epochs",
    callback=_epochs,
    help="After which the sets are decoded, such as 50,80,120; training ends with the last. By "
    "default, the last of the base.",
)
@click.option(
    "--seeds",
    multiple=True,
    callback=_seeds,
    metavar="[NAME=]N",
    help="Number of seeds of each variant, or of one variant (or base); repeatable. 1 if not "
    "given.",
)
@click.option(
    "--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Rows at a time."
)
@click.option(
    "--cluster",
    type=click.Choice(["slurm", "local"]),
    help="Run rows as jobs of Slurm, or of submitit's local executor; needs asrkit[slurm].",
)
@click.option(
    "--cluster-option",
    "cluster_options",
    multiple=True,
    callback=_settings,
    metavar="KEY=VALUE",
    help="Of each job, as submitit calls them: timeout_min=600, gpus_per_node=1, "
    "slurm_partition=gpu; repeatable.",
)
@click.option("--row", type=SEARCH, help="Only this row, such as no-aux-1, in this process.")
@click.option("--report", is_flag=True, help="Train nothing: only report what there is.")
@threads_option
@overrides_argument
def ablate(
    base: Path,
    variants: tuple[Path, ...],
    data: Path,
    out: Path,
    sets: tuple[str, ...],
    search: str,
    spec: Path | None,
    epochs: list[int],
    seeds: dict[str, int],
    jobs: int,
    cluster: str | None,
    cluster_options: dict[str, object],
    row: str | None,
    report: bool,
    overrides: tuple[str, ...],
) -> object:
    """Train a base and its variants, decode them, and tell which differences are real.

    A variant is a YAML file of changes, such as `model.heads.aux_6: null`; it names no base. What
    is done is skipped, what was interrupted continues, and a row that fails stops no other.

    Example: asrkit ablate --base conf/x.yaml --variants v --data data --out o --set dev --search joint
    """  # noqa: E501 - a command is a line
    from asrkit import experiment
    from asrkit.ablation_folder import AblationFolder
    from asrkit.errors import UserError
    from asrkit.experiment.ablation.plan import Study, last_epoch
    from asrkit.experiment.ablation.variants import read_variants
    from asrkit.queues.cluster import Cluster

    plugins = click.get_current_context().find_root().params.get("plugin") or ()
    folder = AblationFolder(out)
    study = Study(
        base,
        read_variants(variants),
        data,
        folder,
        epochs or [last_epoch(base, overrides)],
        sets,
        search,
        spec,
        seeds,
        overrides,
        plugins,
    )
    if row is not None:
        experiment.ablate_row(study, row)
        return RowDone(folder.run(row).path)
    if cluster_options and cluster is None:
        raise UserError("--cluster-option is of jobs of a cluster: give --cluster as well")
    place = None if cluster is None else Cluster(cluster, cluster_options, folder.cluster)
    found = experiment.ablate(study, jobs, not report, place)
    say(found.text)
    if found.failed and not report:
        lines = [f"{state.row}: {state.problem}" for state in found.failed]
        raise IncompleteError(
            "\n".join([f"{len(lines)} of {len(found.rows)} rows are not done", *lines]), found
        )
    return found
