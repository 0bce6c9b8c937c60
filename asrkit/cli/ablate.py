"""The verb `asrkit ablate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from asrkit.cli.answers import IncompleteError
from asrkit.cli.options import FILE, SEARCH, data_option, overrides_argument, threads_option
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


@dataclass(frozen=True)
class RowDone:
    """The run folder of a row that is trained, decoded and scored."""

    run: Path


def _seeds(
    context: click.Context, parameter: click.Parameter, words: Sequence[str]
) -> dict[str, int]:
    found = {}
    for word in words:
        name, _, number = word.rpartition("=")
        if not number.isdecimal() or int(number) < 1:
            raise click.BadParameter(f"{word!r}: expected a number, such as 3, or NAME=3")
        if name in found:
            raise click.BadParameter(f"{word!r}: seeds of {name or 'all rows'} are given twice")
        found[name] = int(number)
    return found


@click.command()
@base_option
@click.option(
    "--variants",
    type=FILE,
    multiple=True,
    help="File of a variant, or a folder of them; repeatable.",
)
@data_option
@out_option
@sets_option
@searches_option
@spec_option
@click.option(
    "--epochs",
    callback=read_epochs,
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
@rows_at_a_time_option
@cluster_option
@cluster_settings_option
@click.option("--row", type=SEARCH, help="Only this row, such as no-aux-1, in this process.")
@click.option(
    "--until",
    type=click.IntRange(min=1),
    help="With --row: end after this epoch for now, and decode nothing.",
)
@report_option
@threads_option
@overrides_argument
def ablate(
    base: Path,
    variants: tuple[Path, ...],
    data: Path,
    out: Path,
    sets: tuple[str, ...],
    searches: tuple[str, ...],
    spec: Path | None,
    epochs: list[int],
    seeds: dict[str, int],
    jobs: int,
    cluster: str | None,
    cluster_options: dict[str, object],
    row: str | None,
    until: int | None,
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
    from asrkit.queues.cluster import cluster_of

    plugins = click.get_current_context().find_root().params.get("plugin") or ()
    folder = AblationFolder(out)
    study = Study(
        base,
        read_variants(variants),
        data,
        folder,
        epochs or [last_epoch(base, overrides)],
        sets,
        searches,
        spec,
        seeds,
        overrides,
        plugins,
    )
    if row is not None:
        experiment.ablate_row(study, row, until)
        return RowDone(folder.run(row).path)
    if until is not None:
        raise UserError("--until is of one row: give --row as well")
    place = cluster_of(cluster, cluster_options, folder.cluster)
    found = experiment.ablate(study, jobs, not report, place)
    say(found.text)
    if found.failed and not report:
        lines = [f"{state.row}: {state.problem}" for state in found.failed]
        raise IncompleteError(
            "\n".join([f"{len(lines)} of {len(found.rows)} rows are not done", *lines]), found
        )
    return found
