"""Compiles loops over numbers where numba is installed; where it is not they are slow Python."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

log = logging.getLogger(__name__)

try:
    import numba
except ImportError:
    numba = None


def compiled(function: Function) -> Function:
    """Returns a function that is compiled when it is first called, and kept on the disk.

    It releases the lock of Python, so threads run at the same time. Without numba it is the
    function itself, a hundred times slower, and the log says so.
    """
    return _compiled(function, set())


def compiled_sums(function: Function) -> Function:
    """Returns a function as `compiled` does that may add up in any order, eight terms at a time."""
    return _compiled(function, {"reassoc", "contract", "nsz"})


def _compiled(function: Function, freedom: set[str]) -> Function:
    if numba is None:
        log.warning(
            "numba is not installed, so %s takes a hundred times longer: "
            "pip install 'asrkit[hybrid]'",
            function.__name__,
        )
        return function
    result: Function = numba.njit(cache=True, nogil=True, fastmath=freedom)(function)
    return result
