"""Settings of the data that matter when a trained model hears it, and may differ from the run's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from asrkit.config.yaml_loader import Spec, apply
from asrkit.data.settings import DataSettings
from asrkit.errors import UserError

PREFIX = "data."
KEYS = ("data.decoding.max_seconds", "data.decoding.batch_seconds")
"""Other settings belong to the training, or would make it another model."""


def split(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the overrides that begin with `data.`, and the others."""
    of_data = [word for word in overrides if word.startswith(PREFIX)]
    return of_data, [word for word in overrides if not word.startswith(PREFIX)]


def heard_with(settings: DataSettings, overrides: Sequence[str]) -> DataSettings:
    """Returns settings changed by overrides such as data.decoding.max_seconds=600.

    Raises:
        UserError: If a key is none of those that matter here, or its value can't be used.
    """
    for word in overrides:
        spec = Spec({})
        if "=" in word:
            apply(spec, word)
            spec.tell_old_names()
        key = next((key for key in KEYS if spec.source(key) is not None), None)
        if key is None or not word.startswith(PREFIX):
            known = ", ".join(KEYS)
            raise UserError(f"{word}: expected one of {known} with a value, such as {KEYS[0]}=600")
        name = key.rpartition(".")[2]
        value = spec.tree["data"]["decoding"][name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{word}: expected a number of seconds, got {value!r}")
        changes: dict[str, Any] = {name: float(value)}
        try:
            settings = replace(settings, decoding=replace(settings.decoding, **changes))
        except ValueError as error:
            raise UserError(f"{word}: {error}") from error
    return settings
