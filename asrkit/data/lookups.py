"""Paths that can't be looked up (stale handle, no permission): only their utterance is lost."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from asrkit.data.audio import AudioError

OF_THE_MACHINE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Too many open files, or no memory: the next utterance would fail, too."""

P = ParamSpec("P")
R = TypeVar("R")


def failed_lookup(error: OSError) -> str:
    """Returns which path can't be looked up, and why.

    Raises:
        OSError: The same error, if the cause is the machine and not the path.
    """
    if error.errno in OF_THE_MACHINE:
        raise error
    path = str(error.filename or "the audio file")
    shown = path if len(path) <= 200 else f"{path[:100]}...{path[-60:]}"
    return f"{shown} can't be looked up: {error.strerror or error}"


def costs_one_utterance(read: Callable[P, R]) -> Callable[P, R]:
    """Makes a function that reads audio raise AudioError if a path can't be looked up."""

    @wraps(read)
    def reads(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return read(*args, **kwargs)
        except OSError as error:
            raise AudioError(failed_lookup(error)) from error

    return reads
