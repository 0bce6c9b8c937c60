#!/usr/bin/env python3
"""Records what this checkout computes, to compare it with another one.

python tools/comparison/record.py --out before.json
python tools/comparison/record.py --out before.json --run RUN --data DATA --set dev
python tools/comparison/record.py --out before.json --run RUN --data DATA --set dev --decoding FILE
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from asrkit.config.build import filled  # noqa: E402
from asrkit.errors import UserError  # noqa: E402
from asrkit.experiment import Experiment, decode, load_spec, score  # noqa: E402
from asrkit.experiment.decode_spec import is_decode_spec, searches_of  # noqa: E402
from asrkit.experiment.spec import resolve_spec  # noqa: E402
from asrkit.files import write_text  # noqa: E402
from asrkit.run_folder import RunFolder  # noqa: E402
from tools.comparison.renames import Renames, read_renames  # noqa: E402
from tools.comparison.updates import two_updates  # noqa: E402

RENAMES = Path(__file__).with_name("renames.yaml")
PATH = click.Path(path_type=Path)


@click.command()
@click.option("--out", type=PATH, required=True, help="JSON file to write.")
@click.option("--recipes", type=PATH, default=ROOT / "recipes", help="Folder of the specs.")
@click.option("--run", type=PATH, help="A trained run, whose searches are recorded, too.")
@click.option("--data", type=PATH, help="Data folder of --run.")
@click.option("--set", "set_name", help="Set to decode.")
@click.option("--decoding", type=PATH, help="Spec with more searches of that run.")
@click.option("--renames", type=PATH, default=RENAMES, help="New names and their old names.")
def main(
    out: Path,
    recipes: Path,
    run: Path | None,
    data: Path | None,
    set_name: str | None,
    decoding: Path | None,
    renames: Path,
) -> None:
    """Writes the record."""
    torch.set_num_threads(1)
    names = read_renames(renames)
    record: dict[str, Any] = {"specs": {}}
    for path in sorted(recipes.glob("*/conf/**/*.yaml")):
        if {"gmm", "ablation"} & {*path.parts}:
            continue  # mixtures are not trained by gradients, and variants are no specs
        name = str(path.relative_to(recipes))
        click.echo(name, err=True)
        record["specs"][name] = spec_record(path, names)
    if run is not None:
        if data is None or set_name is None:
            raise click.UsageError("--run needs --data and --set")
        record["searches"] = dict(search_records(run, data, set_name, decoding))
        record["results"] = result_rows(run)
    write_text(out, json.dumps(record, indent=1) + "\n")


def spec_record(path: Path, names: Renames) -> dict[str, Any]:
    """Returns the leaves of a spec, and what two updates of its model compute."""
    spec = load_spec(path)
    if is_decode_spec(spec):
        return {"leaves": leaves_of(path)}
    experiment, _ = resolve_spec(spec)
    return {"leaves": leaves_of(path), **two_updates(experiment, names.parameter)}


def leaves_of(path: Path) -> dict[str, Any]:
    """Returns every value of a spec by its key path: defaults included, tables as searches."""
    spec = load_spec(path)
    if is_decode_spec(spec):
        searches = {name: search.node for name, search in searches_of(spec).items()}
        return dict(leaves({"tuning": spec.tree.get("tuning"), "decoding": searches}))
    return dict(leaves(filled(Experiment, spec.tree)))


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yields every value of a tree with its key path.

    Named parts are numbered, as they used to be in lists; their names appear in those of
    parameters.
    """
    if isinstance(node, dict) and isinstance(node.get("order"), list):
        node = [node[name] for name in node["order"]]
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list) and node:
        for index, value in enumerate(node):
            unnamed = isinstance(value, dict)
            value = {k: v for k, v in value.items() if k != "name"} if unnamed else value
            yield from leaves(value, f"{path}[{index}]")
    else:
        yield path, node or None if isinstance(node, (dict, list)) else node


def search_records(
    run: Path, data: Path, set_name: str, decoding: Path | None
) -> Iterator[tuple[str, Any]]:
    """Yields each search of a run with its n-best lists and word errors; works on a copy."""
    specs: list[tuple[Path | None, list[str]]] = [
        (None, [*searches_of(load_spec(RunFolder(run).spec))])
    ]
    if decoding is not None:
        specs.append((decoding, [*searches_of(load_spec(decoding))]))
    copy = run.parent / f".{run.name}-comparison"  # where models next to the run are found
    copy.mkdir()
    try:
        for entry in run.iterdir():
            if entry != RunFolder(run).decoded:
                (copy / entry.name).symlink_to(entry.resolve())
        for spec, names in specs:
            for name in names:
                click.echo(f"search {name}", err=True)
                yield name, one_search(copy, data, set_name, name, spec)
    finally:
        shutil.rmtree(copy)


def one_search(
    run: Path, data: Path, set_name: str, search: str, spec: Path | None
) -> dict[str, Any]:
    """Returns n-best lists and word errors of one search."""
    decode(run, data, set_name, search, spec=spec)
    nbest = RunFolder(run).decoded_set(search, set_name).nbest
    lines = nbest.read_text(encoding="utf-8").split("\n")
    errors = score(run, set_name, search).errors
    return {"nbest": [json.loads(line) for line in lines if line], "errors": errors.total}


def result_rows(run: Path) -> list[dict[str, str]]:
    """Returns the rows of the run's results, without columns that vary, such as times."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "RESULTS.md"
        tool = ROOT / "tools" / "results_table.py"
        subprocess.run(
            [sys.executable, tool, "--out", out, run], check=True, stdout=subprocess.DEVNULL
        )
        lines = out.read_text(encoding="utf-8").split("\n")
    table = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    names = [cell.strip() for cell in table[0]]
    rows = [[cell.strip() for cell in row] for row in table[2:] if len(row) == len(names)]
    return [dict(zip(names, row, strict=True)) for row in rows]


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(f"{Path(__file__).name}: {error}") from error
