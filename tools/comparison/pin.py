#!/usr/bin/env python3
"""Writes down every value of every spec under recipes/, defaults included, for a test to compare.

python tools/comparison/pin.py

A change of specs or of their schema that is to keep all values leaves the file as it is: keys that
were renamed stand there under their old names. Where values are meant to change, the new file is
part of the change, and its difference shows which.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from asrkit.files import write_lines  # noqa: E402
from tools.comparison.record import RENAMES, leaves_of  # noqa: E402
from tools.comparison.renames import read_renames  # noqa: E402

PINNED = ROOT / "tests" / "recipes" / "leaves.tsv"
Leaves = Mapping[str, Mapping[str, Any]]
"""Values by key path, by spec."""


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=PINNED, help="The file.")
def main(out: Path) -> None:
    """Writes the file."""
    found = leaves_of_recipes(ROOT / "recipes")
    write_lines(out, table(found))
    click.echo(f"{out}: {sum(map(len, found.values()))} values of {len(found)} specs")


def leaves_of_recipes(recipes: Path) -> dict[str, dict[str, Any]]:
    """Returns the values of all specs, by their paths; renamed keys have their old names."""
    names = read_renames(RENAMES)
    return {
        str(path.relative_to(recipes)): {
            names.key(key): value for key, value in leaves_of(path).items()
        }
        for path in sorted(recipes.glob("*/conf/**/*.yaml"))
        if not {"gmm", "ablation"} & {*path.parts}
    }


def table(found: Leaves) -> list[str]:
    """Returns lines of a key, a value, and the numbers of the specs that have it there.

    Lines with the specs' numbers and paths come first.
    """
    numbers = {name: str(number) for number, name in enumerate(found)}
    specs: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, values in found.items():
        for key, value in values.items():
            specs[key, json.dumps(value)].append(numbers[name])
    lines = [f"{number}\t{name}" for name, number in numbers.items()]
    return lines + ["\t".join([*leaf, " ".join(which)]) for leaf, which in sorted(specs.items())]


if __name__ == "__main__":
    main()
