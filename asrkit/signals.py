"""Signals that ask a process to end: a scheduler's warning, a closed terminal, `kill`.

The verb then ends by an exception, so that everything is cleaned up (half-written files, locks,
other processes). Training saves first: see `asrkit.training.signals`. Compiled loops run Python
when they make their results, where an exception would be lost: there it waits for their end.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], None]

STOPPING = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    if hasattr(signal, name)
)
"""Sent by schedulers, `kill` and closed terminals; Ctrl-C is SIGINT."""
TRY_AGAIN = 75
"""Exit code of a process that was asked to stop; the same command continues (EX_TEMPFAIL)."""
INTERRUPTED = 130
"""Exit code after Ctrl-C."""
AGAIN_AFTER = 5.0
"""Seconds within which further signals belong to the first one."""


class StoppedBySignalError(BaseException):
    """A signal asks this process to end."""

    def __init__(self, number: int) -> None:
        self.name = signal.Signals(number).name
        super().__init__(self.name)


class _State:
    """The state of signal handling in this process."""

    asked_at = -AGAIN_AFTER
    """When the process was asked to end."""
    children: signal.Handlers = signal.SIG_DFL
    """How forked processes handle these signals."""
    inside = False
    """Whether the main thread, the one that handles signals, is in a compiled loop."""
    waiting: BaseException | None = None
    """What is raised when that loop has ended."""


def end_by_exception() -> None:
    """Makes the stopping signals end this process by a `StoppedBySignalError` from now on.

    Signals that are ignored, such as SIGHUP under nohup, stay ignored.
    """
    if threading.current_thread() is threading.main_thread():
        atexit.register(_ignore_at_exit)
        for number in STOPPING:
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _raise)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt)


def uninterrupted(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a compiled function; what signals raise meanwhile is raised when it has ended."""
    if threading.get_ident() != threading.main_thread().ident:
        return function(*arguments)
    _State.inside = True
    try:
        return function(*arguments)
    finally:
        _State.inside = False  # from here on handlers raise by themselves
        error, _State.waiting = _State.waiting, None
        if error is not None:
            raise error


def raise_when_safe(error: BaseException) -> None:
    """Raises an error of a signal's handler: at once, or when a compiled function has ended."""
    if not _State.inside:
        raise error
    _State.waiting = error


def _ignore_at_exit() -> None:
    """Ignores signals from now on: while Python shuts down, they would kill the process."""
    for number in STOPPING:
        if signal.getsignal(number) is _raise:
            signal.signal(number, signal.SIG_IGN)


def is_ending() -> None:
    """Records that this process is ending: another signal must not interrupt that."""
    _State.asked_at = time.monotonic()


def children_ignore(ignore: bool) -> None:
    """Sets whether processes forked from now on ignore the signals that stop this one.

    A scheduler may send a signal to all processes of a group; workers of a process that saves must
    continue until it has saved.
    """
    _State.children = signal.SIG_IGN if ignore else signal.SIG_DFL


def _raise(number: int, frame: FrameType | None) -> None:
    if time.monotonic() - _State.asked_at >= AGAIN_AFTER:
        is_ending()
        raise_when_safe(StoppedBySignalError(number))


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise_when_safe(KeyboardInterrupt())


def tell(text: str) -> None:
    """Writes a line to stderr from within a signal handler, where buffers may be in use."""
    with contextlib.suppress(OSError):  # a closed or full stderr must not interrupt saving
        os.write(2, f"asrkit: {text}\n".encode())


def _after_fork() -> None:
    """Gives a forked process its own handlers instead of those of its parent."""
    if _State.children == signal.SIG_IGN or signal.getsignal(signal.SIGTERM) is _raise:
        signal.set_wakeup_fd(-1)
        for number in STOPPING:
            if callable(signal.getsignal(number)):
                signal.signal(number, _State.children)


os.register_at_fork(after_in_child=_after_fork)
