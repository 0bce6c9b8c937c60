"""Stopping training on request: it saves between two batches, then ends.

`StopRequests` turns signals into a flag that the training loop reads after every update and every
batch of the dev set. Further signals are harmless, because schedulers and torchrun both send one;
only a second Ctrl-C ends at once.

A process of several may never read the flag: it waits for another one that has died. So a thread,
which runs while the process waits, ends it after a while if it has not begun to stop. It also
requests a stop when torchrun has ended, because nothing would supervise training any more.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import FrameType, TracebackType
from typing import TypeVar

from asrkit.errors import UserError
from asrkit.signals import (
    INTERRUPTED,
    STOPPING,
    TRY_AGAIN,
    Handler,
    children_ignore,
    is_ending,
    raise_when_safe,
    tell,
)

T = TypeVar("T")
PATIENCE = 20.0
"""Seconds within which one of several processes must begin to stop; torchrun kills it after 30."""


class InterruptedTrainingError(UserError):
    """Training was asked to stop; everything up to here is saved.

    Args:
        message: What is saved and how to continue.
        exit_code: Of the command.
    """

    def __init__(self, message: str, exit_code: int = TRY_AGAIN) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class _WaitEndedError(Exception):
    """A stop was requested while waiting for batches."""


class StopRequests:
    """Records signals during training; a context manager.

    Args:
        processes: How many train together.
        patience: Seconds after which a process that does not begin to stop is ended.
    """

    def __init__(self, processes: int = 1, patience: float = PATIENCE) -> None:
        self.processes, self.patience = processes, patience
        self.number: int | None = None
        self._begun = threading.Event()
        self._waits = False
        self._before: dict[int, Handler | int | None] = {}
        self._waking: tuple[socket.socket, socket.socket] | None = None

    @property
    def asked(self) -> bool:
        """Whether this process was asked to stop."""
        return self.number is not None

    @property
    def exit_code(self) -> int:
        """The exit code of training that saved and stopped."""
        return INTERRUPTED if self.number == signal.SIGINT else TRY_AGAIN

    def ask(self, number: int = signal.SIGTERM) -> None:
        """Requests a stop after this batch."""
        if self.number is None:
            self.number = number

    def until_asked(self, batches: Iterable[T]) -> Iterator[T]:
        """Yields batches, at least the first one, until this process is asked to stop."""
        for batch in batches:
            yield batch
            if self.asked:
                return

    def begin(self) -> None:
        """Notes that the training loop has read the request: it may take its time to save."""
        self._begun.set()

    def saved(self, step: int, folder: Path) -> InterruptedTrainingError:
        """Returns the error that ends training whose checkpoint is in a folder."""
        self.begin()
        return InterruptedTrainingError(
            f"stopped at step {step}; everything is saved in {folder}: the same command continues "
            "from here",
            self.exit_code,
        )

    def take(self, batches: Iterator[T], number: int) -> list[T] | None:
        """Returns the next batches, fewer at the end; None if a stop has waited for them too long.

        Reading may take forever, as when a disk hangs. With several processes none stops here,
        because the others would wait for it.
        """
        try:
            self._waits = self.processes == 1
            found = list(islice(batches, number))
            self._waits = False
        except _WaitEndedError:
            return None
        return found

    def __enter__(self) -> StopRequests:
        if threading.current_thread() is threading.main_thread():
            children_ignore(True)
            if self.processes > 1:
                self._watch()
            for number in (signal.SIGINT, *STOPPING):
                ignored = signal.getsignal(number) == signal.SIG_IGN
                if not ignored or number in (signal.SIGINT, signal.SIGTERM):  # nohup: SIGHUP
                    self._before[number] = signal.signal(number, self._handle)
            self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._end_wait)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._begun.set()
        if self.asked:
            is_ending()
        if self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        if self._waking is not None:
            signal.set_wakeup_fd(-1)
            for end in self._waking:
                end.close()
            self._waking = None
        children_ignore(False)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.number == signal.SIGINT:
            raise_when_safe(KeyboardInterrupt())
            return
        first = not self.asked
        if first or number == signal.SIGINT:
            self.number = number
            tell(
                f"{signal.Signals(number).name}: saving after this batch, then stopping"
                + (" (Ctrl-C again stops at once)" if number == signal.SIGINT else "")
            )
        if self._waits:
            signal.setitimer(signal.ITIMER_REAL, self.patience / 2)

    def _end_wait(self, number: int, frame: FrameType | None) -> None:
        if self._waits:
            self._waits = False
            raise_when_safe(_WaitEndedError())

    def _watch(self) -> None:
        """Starts the thread that sees signals though this process waits for others."""
        reading, writing = socket.socketpair()
        reading.setblocking(False)
        writing.setblocking(False)
        self._waking = reading, writing
        signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        arguments = (reading, os.getppid())
        threading.Thread(target=self._end_if_blocked, args=arguments, daemon=True).start()

    def _end_if_blocked(self, reading: socket.socket, launcher: int) -> None:
        deadline: float | None = None
        while not self._begun.is_set():
            if os.getppid() != launcher and not self.asked:
                tell("torchrun has ended: saving after this batch, then stopping")
                self.ask()
            try:
                ready, _, _ = select.select([reading], [], [], 0.5)
                numbers = reading.recv(64) if ready else b""
            except (OSError, ValueError):
                return  # the training has ended
            if deadline is None and any(n in (signal.SIGINT, *STOPPING) for n in numbers):
                deadline = time.monotonic() + self.patience
            if deadline is not None and time.monotonic() > deadline and not self._begun.is_set():
                rank = os.environ.get("RANK", "0")
                tell(
                    f"this process (rank {rank}) waits for another one, which "
                    f"must have died: ended {self.patience:g} s after it was asked to; the same "
                    "command continues from the last checkpoint"
                )
                os._exit(128 + signal.SIGTERM)
