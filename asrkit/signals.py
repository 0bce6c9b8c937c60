"""Signals that ask a process to end: a scheduler's warning, a closed terminal, `kill`.

A verb that is asked so ends by an exception, so that what it holds is given back (files that are
half written, locks, other processes). A training saves first: see `asrkit.training.signals`.
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

Handler = Callable[[int, FrameType | None], None]

STOPPING = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    if hasattr(signal, name)
)
"""What schedulers, `kill` and closed terminals send; Ctrl-C is SIGINT."""
TRY_AGAIN = 75
"""Exit code of a process that was asked to stop; the same command goes on (EX_TEMPFAIL)."""
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
    """What is known of the signals of this process."""

    asked_at = -AGAIN_AFTER
    """When the process was asked to end."""
    children: signal.Handlers = signal.SIG_DFL
    """What forked processes do on these signals."""


def end_by_exception() -> None:
    """Makes the stopping signals end this process by a `StoppedBySignalError`, from now on.

    One that is ignored, such as SIGHUP below nohup, stays so.
    """
    if threading.current_thread() is threading.main_thread():
        atexit.register(_ignore_at_exit)
        for number in STOPPING:
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _raise)


def _ignore_at_exit() -> None:
    """Ignores signals from now on: Python, as it ends, would let them kill the process."""
    for number in STOPPING:
        if signal.getsignal(number) is _raise:
            signal.signal(number, signal.SIG_IGN)


def is_ending() -> None:
    """Notes that this process is ending: another signal must not disturb that."""
    _State.asked_at = time.monotonic()


def children_ignore(ignore: bool) -> None:
    """Says whether processes that are forked from now on ignore the signals that stop this one.

    A scheduler may send a signal to all processes of a group; those that work for one that saves
    must go on working until it has.
    """
    _State.children = signal.SIG_IGN if ignore else signal.SIG_DFL


def _raise(number: int, frame: FrameType | None) -> None:
    if time.monotonic() - _State.asked_at >= AGAIN_AFTER:
        is_ending()
        raise StoppedBySignalError(number)


def tell(text: str) -> None:
    """Writes a line to stderr from within a signal handler, where buffers may be in use."""
    with contextlib.suppress(OSError):  # a closed or full stderr must not disturb the saving
        os.write(2, f"asrkit: {text}\n".encode())


def _after_fork() -> None:
    """Gives a forked process handlers of its own: those of its parent are not meant for it."""
    if _State.children == signal.SIG_IGN or signal.getsignal(signal.SIGTERM) is _raise:
        signal.set_wakeup_fd(-1)
        for number in STOPPING:
            if callable(signal.getsignal(number)):
                signal.signal(number, _State.children)


os.register_at_fork(after_in_child=_after_fork)
