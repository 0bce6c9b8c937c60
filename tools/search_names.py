#!/usr/bin/env python3
"""Prints the names of the searches of a spec file, a line each.

python tools/search_names.py conf/decode/table.yaml
python tools/search_names.py conf/decode/table.yaml --run run/base --data data

With a run and a data folder, each name is followed by the files of the other models that the search
needs, after tabs; searches whose models are missing are left out, which stderr tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from asrkit.errors import UserError
from asrkit.experiment.decode_spec import load_decode_spec, searches_of
from asrkit.utf8 import use_utf8


@click.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--run", type=click.Path(path_type=Path), help="The run that will be decoded.")
@click.option("--data", type=click.Path(path_type=Path), help="The data folder.")
def main(spec: Path, run: Path | None, data: Path | None) -> None:
    """Prints the names of the searches below decoding: of a spec file."""
    try:
        searches = searches_of(load_decode_spec(spec))
    except UserError as error:
        raise click.ClickException(str(error)) from error
    if not searches:
        raise click.ClickException(f"{spec} has no searches below decoding: or table:")
    places = [Path()]
    if run is not None and data is not None:
        places += [run, run.resolve().parent, data]
    for name, search in searches.items():
        files = list(models(search.node, places))
        missing = [str(file) for file in files if not file.is_file()]
        if run is None:
            click.echo(name)
        elif missing:
            click.echo(f"left out: {name}, as there is no {' and no '.join(missing)}", err=True)
        else:
            click.echo("\t".join([name, *map(str, files)]))


def models(node: Any, places: list[Path]) -> Iterator[Path]:
    """Yields the files of the runs and n-gram models that a search's spec node names."""
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key in ("run", "arpa"):
            found = next((place / value for place in places if (place / value).exists()), value)
            yield Path(found, "checkpoints/average.pt") if key == "run" else Path(found)
        else:
            yield from models(value, places)


if __name__ == "__main__":
    use_utf8()
    main()
