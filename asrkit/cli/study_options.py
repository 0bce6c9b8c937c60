"""Options that ablation studies and sweeps share."""

from __future__ import annotations

from collections.abc import Sequence

import click

from asrkit.cli.options import FILE, FOLDER, SEARCH, SET


def read_epochs(context: click.Context, parameter: click.Parameter, text: str | None) -> list[int]:
    """Returns the numbers of a list such as 50,80,120; none where it is not given."""
    try:
        return [] if text is None else [int(word) for word in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r}: expected numbers, such as 50,80,120") from None


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


base_option = click.option("--base", type=FILE, required=True, help="Spec file of the base.")
out_option = click.option(
    "--out", type=FOLDER, required=True, help="Folder of all runs and the report."
)
sets_option = click.option(
    "--set", "sets", type=SET, multiple=True, help="Set to decode; repeatable."
)
searches_option = click.option(
    "--search", "searches", type=SEARCH, multiple=True, help="Name of a search; repeatable."
)
spec_option = click.option(
    "--spec", type=FILE, help="File whose decoding: replaces that of the base."
)
rows_at_a_time_option = click.option(
    "--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Rows at a time."
)
cluster_option = click.option(
    "--cluster",
    type=click.Choice(["slurm", "local"]),
    help="Run rows as jobs of Slurm, or of submitit's local executor; needs asrkit[slurm].",
)
cluster_settings_option = click.option(
    "--cluster-option",
    "cluster_options",
    multiple=True,
    callback=_settings,
    metavar="KEY=VALUE",
    help="Of each job, as submitit calls them: timeout_min=600, gpus_per_node=1, "
    "slurm_partition=gpu; repeatable.",
)
report_option = click.option(
    "--report", is_flag=True, help="Train nothing: only report what there is."
)
