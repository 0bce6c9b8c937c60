"""Options and arguments that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from asrkit.errors import UserError
from asrkit.names import require_name
from asrkit.threads import use_threads

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(path_type=Path)


def name_of(what: str) -> Callable[[str], str]:
    """Returns what reads the name of a set, search or the like.

    Args:
        what: Is named by it, for messages.
    """

    def name(value: str) -> str:
        try:
            return require_name(value, what)
        except UserError as error:
            raise click.BadParameter(str(error)) from error

    return name


SET = name_of("a set")
SEARCH = name_of("a search")
data_option = click.option(
    "--data", type=FOLDER, required=True, help="Data folder, with manifests/ and text/."
)
run_option = click.option("--run", type=FOLDER, required=True, help="Folder of the run.")
decoded_by_option = click.option(
    "--search", type=SEARCH, required=True, help="Name of the search that decoded the set."
)
set_option = click.option("--set", "set_name", type=SET, required=True, help="Name of the set.")
checkpoint_option = click.option(
    "--checkpoint",
    default="average",
    show_default=True,
    help="average, best, last, or the path of a checkpoint.",
)
jobs_option = click.option(
    "--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="Number of threads."
)
overrides_argument = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
data_overrides_argument = click.argument("overrides", nargs=-1, metavar="[data.KEY=VALUE]...")
"""Maximum lengths of utterances and batches in decoding."""


def _use_threads(context: click.Context, parameter: click.Parameter, number: int | None) -> None:
    if not context.resilient_parsing:
        use_threads(number)


threads_option = click.option(
    "--threads",
    type=click.IntRange(min=1),
    expose_value=False,
    callback=_use_threads,
    help="Computing threads of each process; by default OMP_NUM_THREADS or all cores. On a "
    "busy machine, fewer are faster.",
)
