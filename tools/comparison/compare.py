#!/usr/bin/env python3
"""Shows how two records of `record.py` differ; exits with 1 if they do.

python tools/comparison/compare.py before.json after.json
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tools.comparison.renames import Renames, read_renames  # noqa: E402

RENAMES = Path(__file__).with_name("renames.yaml")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
SHOWN = 10


@click.command()
@click.argument("before", type=FILE)
@click.argument("after", type=FILE)
@click.option("--renames", type=FILE, default=RENAMES, help="New names and their old names.")
@click.option("--tolerance", default=0.0, help="Accepted relative difference of numbers.")
def main(before: Path, after: Path, renames: Path, tolerance: float) -> None:
    """Prints a line per part, and the first differences of each."""
    old, new = (json.loads(path.read_text(encoding="utf-8")) for path in (before, after))
    names = read_renames(renames)
    old, new = (in_old_keys(record, names) for record in (old, new))
    different = 0
    for title, first, second in parts(old, new):
        rows = list(differences(first, second, tolerance))
        different += bool(rows)
        click.echo(f"{title}: {f'{len(rows)} differences' if rows else 'equal'}")
        for row in rows[:SHOWN]:
            click.echo(f"  {row}")
    click.echo(f"{different} parts differ" if different else "all equal")
    sys.exit(bool(different))


def in_old_keys(record: dict[str, Any], renames: Renames) -> dict[str, Any]:
    """Returns a record with the leaves of specs under their old names."""
    specs = {
        name: {**spec, "leaves": {renames.key(k): v for k, v in spec["leaves"].items()}}
        for name, spec in record["specs"].items()
    }
    return {**record, "specs": specs}


def parts(old: dict[str, Any], new: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yields the parts to compare: a title, the old value, the new one."""
    for name in sorted(old["specs"].keys() | new["specs"].keys()):
        first, second = old["specs"].get(name, {}), new["specs"].get(name, {})
        for kind in sorted(first.keys() | second.keys()):
            yield f"{name} {kind}", first.get(kind), second.get(kind)
    searches = [record.get("searches", {}) for record in (old, new)]
    for name in sorted(searches[0].keys() | searches[1].keys()):
        yield f"search {name}", searches[0].get(name), searches[1].get(name)
    if "results" in old or "results" in new:
        yield "results", old.get("results"), new.get("results")


def differences(old: Any, new: Any, tolerance: float, path: str = "") -> Iterator[str]:
    """Yields a line per value that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            child = f"{path}.{key}" if path else key
            yield from differences(old.get(key), new.get(key), tolerance, child)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, tolerance, f"{path}[{index}]")
    elif not _same(old, new, tolerance):
        yield f"{path}: {old!r} -> {new!r}"


def _same(old: Any, new: Any, tolerance: float) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=tolerance) or (math.isnan(old) and math.isnan(new))
    return type(old) is type(new) and bool(old == new)


if __name__ == "__main__":
    main()
