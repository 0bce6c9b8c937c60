"""What a sweep tries: keys of a spec, and the values that each may have.

A space is a YAML mapping of key paths to lists of values, or to ranges that values are drawn from:

    # Learning rate and width.
    training.schedule.peak: {low: 1e-4, high: 1e-2, scale: log}
    model.encoder.dim: [96, 144, 192]
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice, product
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from asrkit.bounds import refuse_not_above
from asrkit.config.yaml_text import read_yaml
from asrkit.errors import UserError

log = logging.getLogger(__name__)

DIGITS = 4
"""Of numbers that are drawn: more say nothing."""
PATIENCE = 50
"""Draws for each trial that is asked for; a small space has no more different ones."""
Scale = Literal["linear", "log"]
Point = tuple[tuple[str, Any], ...]
"""A value for each key."""


@dataclass(frozen=True)
class Range:
    """Numbers that values are drawn from.

    Args:
        low: The lowest.
        high: The highest.
        scale: `log` if each power of ten is as likely, `linear` if each number is.
        whole: Whether only whole numbers are drawn.

    Raises:
        ValueError: If it is empty, the scale is unknown, or logarithms are of 0 or less.
    """

    low: float
    high: float
    scale: Scale = "linear"
    whole: bool = False

    def __post_init__(self) -> None:
        if self.scale not in get_args(Scale):
            raise ValueError(f"scale ({self.scale}) must be linear or log")
        refuse_not_above(self.low, high=self.high)
        if self.scale == "log":
            refuse_not_above(0, low=self.low)

    def at(self, share: float) -> float:
        """Returns the number at a share of the range, from 0 to 1."""
        if self.scale == "log":
            found = math.exp(
                math.log(self.low) + share * (math.log(self.high) - math.log(self.low))
            )
        else:
            found = self.low + share * (self.high - self.low)
        return round(found) if self.whole else float(f"{found:.{DIGITS}g}")


Space = Mapping[str, Range | Sequence[Any]]
"""What each key may be."""


def read_space(path: Path) -> Space:
    """Returns the space of a file.

    Raises:
        UserError: If it is missing, empty or malformed.
    """
    tree = read_yaml(path)
    if not isinstance(tree, dict) or not tree:
        raise UserError(
            f"{path}: expected a mapping of key paths to lists of values, or to ranges such as "
            f"{{low: 1e-4, high: 1e-2}}; got {type(tree).__name__ if tree else 'nothing'}"
        )
    return {str(key): _values(f"{path}: {key}", value) for key, value in tree.items()}


def _values(where: str, value: Any) -> Range | list[Any]:
    if isinstance(value, list) and value:
        return value
    if isinstance(value, dict):
        numbers = [value.get(end) for end in ("low", "high")]
        if all(isinstance(number, int | float) for number in numbers):
            try:
                return Range(**value)
            except (TypeError, ValueError) as error:
                raise UserError(f"{where}: {error}") from error
    raise UserError(
        f"{where}: expected a list of values, or a range such as {{low: 1e-4, high: 1e-2, "
        f"scale: log}}; got {json.dumps(value)}"
    )


def grid(space: Space) -> list[Point]:
    """Returns each value of each key with each of the others.

    Raises:
        UserError: If a key has a range.
    """
    lists = []
    for key, values in space.items():
        if isinstance(values, Range):
            raise UserError(f"{key}: a range has no end of values: give --trials, or a list")
        lists.append([(key, value) for value in values])
    return list(product(*lists))


def drawn(space: Space, trials: int, seed: int) -> list[Point]:
    """Returns random points, no two alike; fewer if there are not so many.

    The first ones are the same however many are asked for, so that a sweep can get more of them.

    Args:
        space: What is drawn from.
        trials: How many.
        seed: Of the draws.

    Source: Bergstra and Bengio 2012.
    """
    draws = (_draw(space, np.random.default_rng([seed, number])) for number in count())
    found = {json.dumps(point): point for point in islice(draws, PATIENCE * trials)}
    if len(found) < trials:
        log.warning("the space has only %d different points, not %d", len(found), trials)
    return list(found.values())[:trials]


def _draw(space: Space, random: np.random.Generator) -> Point:
    return tuple(
        (key, v.at(random.random()) if isinstance(v, Range) else v[int(random.integers(len(v)))])
        for key, v in space.items()
    )
