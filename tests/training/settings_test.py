"""No number of `training:` and `data:` is used unchecked."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any, Union, get_args, get_origin

import pytest
import torch

from asrkit.config.registry import registry_of
from asrkit.config.signatures import type_hints
from asrkit.data.settings import Batches, DataSettings
from asrkit.training import schedules
from asrkit.training.optimizers import AdamW
from asrkit.training.refusals import refuse_settings
from asrkit.training.trainer import Trainer
from tests.training.programs.toy import ToyModel

LATE = ("model", "job")


def kinds(hint: Any) -> list[Any]:
    """Returns a type, or those of a union."""
    union = get_origin(hint) in (Union, types.UnionType)
    return [kind for kind in (get_args(hint) if union else [hint]) if kind is not type(None)]


def parts_of(target: type) -> Iterator[type]:
    """Yields a part and the plain parts in it."""
    yield target
    for name, hint in type_hints(target).items():
        for kind in kinds(hint) if name not in LATE else ():
            if isinstance(kind, type) and is_dataclass(kind) and registry_of(kind) is None:
                yield from parts_of(kind)


def numbers_of(target: type) -> list[str]:
    """Returns the parameters of a part that may be a number."""
    found = {name: kinds(hint) for name, hint in type_hints(target).items() if name != "return"}
    return [name for name, options in found.items() if int in options or float in options]


PARTS = [*[*parts_of(Trainer)][1:], *parts_of(DataSettings)]
NUMBERS = [(part, name) for part in PARTS for name in numbers_of(part)]
VALID = {"decay": 0.9, "train": ["train"], "dev": [], "batches": Batches(10.0)}


def test_parts_are_found() -> None:
    names = {f"{part.__name__}.{name}" for part, name in NUMBERS}
    assert {"Update.accumulate", "Checkpoints.save_steps", "ReloadBest.margin"} <= names
    assert {"GradientNoise.decay", "DataSettings.num_workers", "Limits.max_labels"} <= names
    assert len(names) >= 22


@pytest.mark.parametrize(
    ("part", "name"), NUMBERS, ids=lambda value: getattr(value, "__name__", value)
)
def test_every_number_of_a_part_is_checked(part: type, name: str) -> None:
    needed: dict[str, Any] = {
        key: VALID.get(key, 2 if int in kinds(type_hints(part)[key]) else 1.0)
        for key, parameter in inspect.signature(part).parameters.items()
        if parameter.default is inspect.Parameter.empty
    }
    part(**needed)
    with pytest.raises(ValueError, match=rf"{name} \(-1"):
        part(**{**needed, name: -1})


@pytest.mark.parametrize("name", numbers_of(Trainer))
def test_every_number_of_the_trainer_is_checked(name: str) -> None:
    with torch.device("meta"):
        model = ToyModel()
    given: dict[str, Any] = {"epochs": 1, "optimizer": AdamW(), "schedule": schedules.Constant(1.0)}
    refuse_settings(model, has_dev=True, **given)
    with pytest.raises(ValueError, match=rf"{name} \(-1\)"):
        refuse_settings(model, has_dev=True, **{**given, name: -1})


def test_the_trainer_and_what_checks_it_take_the_same_settings() -> None:
    taken = [*inspect.signature(Trainer).parameters]
    checked = [*inspect.signature(refuse_settings).parameters]
    assert [name for name in taken if name not in LATE] == checked[2:]
