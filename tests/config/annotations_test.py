"""How messages name what YAML may give, and which classes annotations hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from asrkit.config.annotations import annotation_name, classes_in
from asrkit.config.ordered import Ordered
from asrkit.config.registry import Factory, import_all
from asrkit.models.interfaces import Encoder
from asrkit.nn.augment import Masks
from asrkit.search.search import Search
from asrkit.training.optimizers import OptimizerFactory


@dataclass
class GradientNoise:
    """Anything."""


import_all()


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (Factory[OptimizerFactory], "an optimizer"),
        (Encoder, "an encoder"),
        (GradientNoise | None, "gradient noise or null"),
        (list[tuple[int, int]], "a list of pairs of whole numbers"),
        (list[list[int]], "a list of lists of whole numbers"),
        (tuple[float, float] | None, "a pair of numbers or null"),
        (tuple[int, str, int], "a triple of whole numbers and texts and whole numbers"),
        (tuple[Path, ...], "a list of paths"),
        (Sequence[float | str], "a list of numbers or texts"),
        (list[Encoder], "a list of encoders"),
        (list[Search], "a list of searches"),
        (dict[str, Search], "a mapping of names, each a search"),
        (Mapping[str, float | None], "a mapping of names, each a number or null"),
        (dict[str, Any], "a mapping of names"),
        (Ordered[Factory[Encoder]], "named parts in order, each an encoder"),
        (Masks, "masks"),
        (Literal["a", 1], "one of 'a', 1"),
        (complex, "a complex"),
    ],
    ids=str,
)
def test_values_are_named_in_plain_english(annotation: Any, name: str) -> None:
    assert annotation_name(annotation) == name


def test_classes_are_found_wherever_an_annotation_has_them() -> None:
    held = dict[str, Ordered[Factory[Encoder]] | list[tuple[int, GradientNoise]] | None]
    assert list(classes_in(held)) == [Encoder, GradientNoise]
    assert list(classes_in(dict[str, Any] | Literal["a"] | Path | None)) == []
