"""Speeds are drawn independently: for each utterance and each pass over the data."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from asrkit.data.sampling import Sampler
from asrkit.data.settings import Batches, DataSettings

# Quantiles 0.9999 of chi-square with (2 - 1)^2, (3 - 1)^2 and (4 - 1)^2 degrees of freedom.
LIMITS = {2: 15.14, 3: 23.51, 4: 33.72}


def drawn(count: int, seed: int = 1, passes: int = 8) -> NDArray[np.int64]:
    """Returns the number of the speed of each of 3000 utterances in each pass: (8, 3000)."""
    speeds = [1.0 + number / 10 for number in range(count)]
    settings = DataSettings(["train"], ["dev"], Batches(60.0, 8), speeds=speeds)
    names = [f"103-1240-{number:04d}" for number in range(3000)]
    sampler = Sampler(names, np.ones(len(names)), settings, seed)
    rows = [[speeds.index(sampler.speed(name, each)) for name in names] for each in range(passes)]
    return np.array(rows)


def chi_square(one: NDArray[np.int64], other: NDArray[np.int64], count: int) -> float:
    """Returns how far pairs of draws are from being all equally frequent by margins."""
    table = np.zeros((count, count))
    np.add.at(table, (one.ravel(), other.ravel()), 1)
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    return float(((table - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("count", LIMITS)
def test_speeds_do_not_tell_one_another(count: int) -> None:
    found = drawn(count)
    assert chi_square(found[:-1], found[1:], count) < LIMITS[count], "of successive passes"
    assert chi_square(found[:, :-1], found[:, 1:], count) < LIMITS[count], "of neighbours"
    # What two neighbours do together does not tell what they do in the next pass.
    same = (found[:, :-1] == found[:, 1:]).astype(np.int64)
    assert chi_square(same[:-1], same[1:], 2) < LIMITS[2]
    assert chi_square(found, drawn(count, seed=2), count) < LIMITS[count], "of seeds"


@pytest.mark.parametrize("count", LIMITS)
def test_all_speeds_are_as_frequent(count: int) -> None:
    found = np.bincount(drawn(count).ravel())
    share = found / found.sum()
    assert np.abs(share - 1 / count).max() < 4 * np.sqrt(1 / count / found.sum())


def test_a_speed_is_a_function_of_seed_pass_and_name() -> None:
    assert (drawn(4, passes=2) == drawn(4, passes=2)).all()
