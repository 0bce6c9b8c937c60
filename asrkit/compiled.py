"""Compiles loops over numbers where numba is installed; where it is not they are slow Python.

Importing numba takes as long as many a command, so that waits until a loop is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any, TypeVar, cast

from asrkit.signals import uninterrupted

Function = TypeVar("Function", bound=Callable[..., Any])

log = logging.getLogger(__name__)


def compiled(function: Function) -> Function:
    """Returns a function that is compiled when it is first called, and kept on the disk.

    It releases the lock of Python, so threads run at the same time. Without numba it is the
    function itself, a hundred times slower, and the log says so when it is first called.
    """
    return cast(Function, _Later(function, set()))


def can_compile() -> bool:
    """Returns whether loops are compiled; says so once if not."""
    return _numba() is not None


def compiled_sums(function: Function) -> Function:
    """Returns a function as `compiled` does that may add up in any order, eight terms at a time."""
    return cast(Function, _Later(function, {"reassoc", "contract", "nsz"}))


class _Later:
    """A function that is going to be compiled.

    Args:
        function: The function.
        freedom: What the compiler may change about sums.
    """

    def __init__(self, function: Callable[..., Any], freedom: set[str]) -> None:
        self.function, self.freedom = function, freedom
        self.ready: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        ready = self.made()
        return ready(*arguments) if _numba() is None else uninterrupted(ready, *arguments)

    def made(self) -> Callable[..., Any]:
        """Returns the function, compiled where that is possible."""
        if self.ready is None:
            numba = _numba()
            if numba is None:
                self.ready = self.function
            else:
                self.ready = numba.njit(cache=True, nogil=True, fastmath=self.freedom)(
                    self._calling_compiled()
                )
        assert self.ready is not None
        return self.ready

    def _calling_compiled(self) -> Callable[..., Any]:
        """Returns a copy of the function: compiled functions can only call compiled ones."""
        function = cast(FunctionType, self.function)
        names = dict(function.__globals__)
        for name in function.__code__.co_names:
            if isinstance(names.get(name), _Later):
                names[name] = names[name].made()
        copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__)
        copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
        return copy


@cache
def _numba() -> Any:
    """Returns the package; None where it is not installed, which is said once."""
    try:
        import numba
    except ImportError:
        log.warning(
            "numba is not installed: graph searches find the best path only, and some loops take "
            "a hundred times longer; pip install 'asrkit[hybrid]'"
        )
        return None
    return numba
