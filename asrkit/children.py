"""Processes that work for this one: they end when it does, and the death of one is told."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context

from asrkit.errors import UserError
from asrkit.signals import STOPPING

SET_SIGNAL_OF_PARENTS_DEATH = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


class LostProcessError(UserError):
    """A process that worked for this one was killed, as the system does where memory is short."""


@contextmanager
def process_pool(
    jobs: int, begin: Callable[[], None] | None = None
) -> Iterator[ProcessPoolExecutor]:
    """Gives processes that work for this one; none of them is left at the end, however that comes.

    They are forked, so `begin` and what it holds is not copied. What they return is: tensors should
    be arrays, as torch would send a tensor through a file in /dev/shm and an open handle.

    Args:
        jobs: How many.
        begin: Called in each of them first.

    Raises:
        LostProcessError: If one of them was killed.
        UserError: If they can't be started.
    """
    others = set(active_children())
    executor: ProcessPoolExecutor | None = None
    try:
        executor = _start(jobs, begin)
        yield executor
        executor.shutdown()
    except BrokenProcessPool as error:
        raise LostProcessError(
            f"one of {jobs} processes was killed, as the system does where memory is short; fewer "
            "need less: --jobs, or data.num_workers"
        ) from error
    finally:
        for process in set(active_children()) - others:  # they may be stuck in a broken disk
            process.kill()
        if executor is not None:
            executor.shutdown(cancel_futures=True)


def _start(jobs: int, begin: Callable[[], None] | None) -> ProcessPoolExecutor:
    try:
        executor = ProcessPoolExecutor(jobs, get_context("fork"), _serve, (os.getpid(), begin))
        executor.submit(os.getpid).result()  # all are forked now
        return executor
    except BrokenProcessPool:
        raise
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{jobs} processes can't be started: {reason}; allow more open files or processes "
            "(ulimit -n, ulimit -u), make room in /dev/shm, or do with fewer: --jobs, or "
            "data.num_workers, where 0 needs none"
        ) from error


def _serve(parent: int, begin: Callable[[], None] | None) -> None:
    """Begins a process: it ends with its parent, to which it leaves all signals but SIGKILL."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, *STOPPING):
        signal.signal(number, signal.SIG_IGN)
    prctl = getattr(ctypes.CDLL(None), "prctl", None)  # Linux has it
    if prctl is not None:
        prctl(SET_SIGNAL_OF_PARENTS_DEATH, signal.SIGKILL)
    if os.getppid() != parent:  # it died before
        os._exit(1)
    if begin is not None:
        begin()
