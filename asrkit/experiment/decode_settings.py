"""Settings of the data that matter when a trained model hears it, and may differ from the run's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from asrkit.config.yaml_loader import override
from asrkit.data.settings import DataSettings
from asrkit.errors import UserError

PREFIX = "data."
KEYS = ("max_decode_seconds", "decode_batch_seconds")
"""Other settings belong to the training, or would make it another model."""


def split(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the overrides that begin with `data.`, and the others."""
    of_data = [word for word in overrides if word.startswith(PREFIX)]
    return of_data, [word for word in overrides if not word.startswith(PREFIX)]


def heard_with(settings: DataSettings, overrides: Sequence[str]) -> DataSettings:
    """Returns settings changed by overrides such as data.max_decode_seconds=600.

    Raises:
        UserError: If a key is none of those that matter here, or its value can't be used.
    """
    known = ", ".join(f"{PREFIX}{key}" for key in KEYS)
    for word in overrides:
        key = word.partition("=")[0].removeprefix(PREFIX)
        if not word.startswith(PREFIX) or key not in KEYS:
            raise UserError(
                f"{word}: expected one of {known} with a value, such as {PREFIX}{KEYS[0]}=600"
            )
        tree: dict[str, Any] = override({"data": {}}, [word])
        value = tree["data"][key]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{word}: expected a number of seconds, got {value!r}")
        changes: dict[str, Any] = {key: float(value)}
        try:
            settings = replace(settings, **changes)
        except ValueError as error:
            raise UserError(f"{word}: {error}") from error
    return settings
