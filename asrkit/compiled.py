"""Compiles loops over numbers where numba is installed; where it is not they are slow Python."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])

log = logging.getLogger(__name__)

try:
    import numba
except ImportError:
    numba = None


def compiled(function: Function) -> Function:
    """Returns a function that is compiled when it is first called, and kept on the disk.

    It releases the lock of Python, so threads run at the same time. Without numba it is the
    function itself, a hundred times slower, and the log says so when it is first called.
    """
    return _compiled(function, set())


def compiled_sums(function: Function) -> Function:
    """Returns a function as `compiled` does that may add up in any order, eight terms at a time."""
    return _compiled(function, {"reassoc", "contract", "nsz"})


def _compiled(function: Function, freedom: set[str]) -> Function:
    if numba is None:
        return _slow(function)
    result: Function = numba.njit(cache=True, nogil=True, fastmath=freedom)(function)
    return result


def _slow(function: Function) -> Function:
    """Returns the function, which says at its first call how slow it is."""

    @wraps(function)
    def run(*arguments: Any) -> Any:
        warn_of_slowness()
        return function(*arguments)

    return cast(Function, run)


@cache
def warn_of_slowness() -> None:
    """Says once that numba is missing."""
    log.warning(
        "numba is not installed, so some loops take a hundred times longer: "
        "pip install 'asrkit[hybrid]'"
    )
