"""`--json`: the typed result of any verb as one JSON object on standard output.

What a verb says for people, and progress, goes to standard error then.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from asrkit.errors import UserError
from asrkit.terminal import say_as_it_is

KEY = "asrkit.json"


@dataclass(frozen=True)
class Written:
    """The files that a verb has written.

    Args:
        files: Their paths.
    """

    files: list[Path]


@dataclass(frozen=True)
class Text:
    """What a verb has to say, where that is for people only.

    Args:
        text: Its lines.
    """

    text: str


class IncompleteError(UserError):
    """A failure that has a result all the same.

    Args:
        message: What is wrong.
        result: What was found.
    """

    def __init__(self, message: str, result: Any) -> None:
        super().__init__(message)
        self.result = result


def answer_in_json(verb: click.Command) -> None:
    """Gives a verb `--json`, or all verbs of a group."""
    if isinstance(verb, click.Group):
        for each in verb.commands.values():
            answer_in_json(each)
        return
    assert verb.callback is not None
    verb.callback = _answering(verb.callback)
    verb.params.append(_option())


def as_json(value: Any) -> Any:
    """Returns a result as JSON has it: objects for dataclasses, null for NaN."""
    if is_dataclass(value):
        return {entry.name: as_json(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, int | str) else str(value)


def _answering(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Returns what calls a verb, and prints its result if it was asked for as JSON."""

    @wraps(callback)
    def answered(*args: Any, **options: Any) -> Any:
        if not click.get_current_context().meta.get(KEY):
            return callback(*args, **options)
        try:
            with redirect_stdout(sys.stderr):
                result = callback(*args, **options)
        except IncompleteError as error:
            _print(error.result)
            raise
        _print(result)
        return result

    return answered


def _print(result: Any) -> None:
    assert is_dataclass(result), f"a verb must return a dataclass, got {type(result).__name__}"
    if int(os.environ.get("RANK", "0")) == 0:  # of processes that train together, one answers
        say_as_it_is(json.dumps(as_json(result), allow_nan=False))


def _option() -> click.Option:
    def note(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        context.meta[KEY] = value

    return click.Option(
        ["--json"],
        is_flag=True,
        expose_value=False,
        callback=note,
        help="Print the result as one JSON object; the rest goes to standard error.",
    )
