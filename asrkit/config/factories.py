"""Factories of checked nodes, and building on the meta device, where nothing is computed."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from asrkit.config.problems import Problem, SpecError
from asrkit.errors import UserError

Make = Callable[[], Any]

MAX_TENSORS = 50_000
"""Of weights in one model: a hundred layers have some thousands."""


@contextmanager
def dry() -> Iterator[list[Problem]]:
    """Builds on the meta device inside, and collects there what constructors refuse."""
    found: list[Problem] = []
    token = _found.set(found)
    hook = register_module_parameter_registration_hook(_Budget())
    try:
        with torch.device("meta"):
            yield found
    except _TooLargeError:
        what = f"more than {MAX_TENSORS} tensors of weights: is a number of layers too large?"
        found.append(Problem("model", what))
    finally:
        hook.remove()
        _found.reset(token)


class _TooLargeError(Exception):
    """A model has more weights than anyone could want; making them all would take for ever."""


class _Budget:
    """Counts the tensors of weights that are made."""

    made = 0

    def __call__(self, module: nn.Module, name: str, weights: nn.Parameter | None) -> None:
        """Counts one more."""
        self.made += 1
        if self.made > MAX_TENSORS:
            raise _TooLargeError


class CheckedFactory:
    """A checked node that becomes an object once its parent supplies the late arguments."""

    def __init__(
        self, target: Callable[..., Any], makes: dict[str, Make], path: str, where: str | None
    ) -> None:
        self.target = target
        self._makes = makes
        self._path = path
        self._where = where

    def given_to(self, target: Callable[..., Any]) -> CheckedFactory:
        """Returns a factory that gives the same arguments to something else."""
        return CheckedFactory(target, self._makes, self._path, self._where)

    def __call__(self, *args: Any, **late: Any) -> Any:
        """Builds the object; names the key path if a constructor refuses a value."""
        found = _found.get()
        try:
            return self.target(
                *args, **{name: make() for name, make in self._makes.items()}, **late
            )
        except _UnbuiltError:
            return Unbuilt()
        except (UserError, _TooLargeError):
            raise
        except Exception as error:  # whatever the constructor of a user's component may raise
            problem = Problem(self._path, _said(error), self._where)
            if found is None:
                raise SpecError([problem]) from error
            if problem not in found:  # a block's part is built once per layer
                found.append(problem)
            return Unbuilt()


def _said(error: Exception) -> str:
    """Returns why a constructor refused; for any other failure, also where."""
    if isinstance(error, ValueError):
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno})"


class _UnbuiltError(Exception):
    """A parent needs a part that could not be built; the part's own problem is reported."""


class Unbuilt(nn.Module):
    """Takes the place of a refused part in a dry build."""

    def __getattr__(self, name: str) -> Any:
        raise _UnbuiltError(name)


_found: ContextVar[list[Problem] | None] = ContextVar("found", default=None)
