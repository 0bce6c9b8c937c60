"""Worker processes: they end with this process, and if one is killed, an error says so."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import active_children, get_context
from typing import Any

from asrkit.errors import UserError
from asrkit.signals import STOPPING

SET_SIGNAL_OF_PARENTS_DEATH = 1
"""PR_SET_PDEATHSIG of prctl(2)."""
PIPE_BYTES = 2**20
"""Bytes in the pipe of results: a batch passes through the usual 64 kB in many small steps."""


class LostProcessError(UserError):
    """A worker process was killed, as the system does when memory is short."""


class _Pool(ProcessPoolExecutor):
    """Processes whose errors always arrive; those that can't be pickled, as text."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Calls a function in one of the processes."""
        return super().submit(partial(_sendable, fn), *args, **kwargs)


@contextmanager
def process_pool(
    jobs: int, begin: Callable[[], None] | None = None
) -> Iterator[ProcessPoolExecutor]:
    """Starts worker processes; none of them is left at the end, whatever happens.

    They are forked, so `begin` and its data are not copied. Results are: return arrays instead of
    tensors, because PyTorch would send a tensor through a file in /dev/shm and an open handle.

    Args:
        jobs: Number of processes.
        begin: Called first in each of them.

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
            f"one of {jobs} processes was killed, as the system does when memory is short; fewer "
            "processes need less: --jobs, or data.num_workers"
        ) from error
    finally:
        for process in set(active_children()) - others:  # they may be waiting for a broken disk
            process.kill()
        if executor is not None:
            _end_results(executor)
            executor.shutdown(cancel_futures=True)


def _start(jobs: int, begin: Callable[[], None] | None) -> ProcessPoolExecutor:
    _return_freed_memory()
    try:
        executor = _Pool(jobs, get_context("fork"), _serve, (os.getpid(), begin))
        _widen(executor)
        executor.submit(os.getpid).result()  # all are forked now
        return executor
    except BrokenProcessPool:
        raise
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{jobs} processes can't be started: {reason}; allow more open files or processes "
            "(ulimit -n, ulimit -u), make room in /dev/shm, or use fewer: --jobs, or "
            "data.num_workers, where 0 needs none"
        ) from error


def _return_freed_memory() -> None:
    """Gives the system what was freed, of which processes would keep a copy once it is used again.

    A training that has freed the memory of its batches would take twice as much in later epochs.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


def _end_results(executor: ProcessPoolExecutor) -> None:
    """Closes this process's end for writing results, once nobody is left who writes.

    One that was killed while it wrote has left a part of a result, and who reads it here waits for
    the rest for ever, unless the pipe has an end.
    """
    writer = getattr(getattr(executor, "_result_queue", None), "_writer", None)
    if writer is not None:
        writer.close()


def _widen(executor: ProcessPoolExecutor) -> None:
    """Enlarges the pipe of results, if the system can: batches arrive faster."""
    reader = getattr(getattr(executor, "_result_queue", None), "_reader", None)
    command = getattr(fcntl, "F_SETPIPE_SZ", None)  # Linux has it
    if reader is not None and command is not None:
        with contextlib.suppress(OSError):  # a user's pipes may have reached their limit
            fcntl.fcntl(reader.fileno(), command, PIPE_BYTES)


def _sendable(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls a function; an error that can't be sent through a pipe is replaced by its text."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # pickling may fail in any way
            raise RuntimeError(f"{type(error).__name__}: {error}") from None
        raise


def _serve(parent: int, begin: Callable[[], None] | None) -> None:
    """Starts a process: it ends with its parent, which handles all signals except SIGKILL."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, *STOPPING):
        signal.signal(number, signal.SIG_IGN)
    prctl = getattr(ctypes.CDLL(None), "prctl", None)  # Linux has it
    if prctl is not None:
        prctl(SET_SIGNAL_OF_PARENTS_DEATH, signal.SIGKILL)
    if os.getppid() != parent:  # the parent died before
        os._exit(1)
    if begin is not None:
        begin()
