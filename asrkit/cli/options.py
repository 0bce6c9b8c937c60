"""Options and arguments that several verbs share."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(path_type=Path)
data_option = click.option(
    "--data", type=FOLDER, required=True, help="Data folder, with manifests/ and text/."
)
run_option = click.option("--run", type=FOLDER, required=True, help="Folder of the run.")
set_option = click.option("--set", "set_name", required=True, help="Name of the set.")
checkpoint_option = click.option(
    "--checkpoint",
    default="average",
    show_default=True,
    help="average, best, last, or the path of a checkpoint.",
)
overrides_argument = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
