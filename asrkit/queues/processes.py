"""Processes of a command, several at a time.

Each has its GPU where there are some. One that fails stops no other, and none outlives the command.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from asrkit.children import SET_SIGNAL_OF_PARENTS_DEATH
from asrkit.files import read_lines
from asrkit.threads import num_cores

log = logging.getLogger(__name__)

COMPLAINT = "asrkit: "
"""What messages begin with that end a process."""
ATTEMPT = "== "
"""What the first line of each attempt begins with."""
LOOK_AGAIN = 0.2
"""Seconds between two looks at the processes."""
PATIENCE = 60.0
"""Seconds that a process may take to save once it is asked to stop."""


@dataclass(frozen=True)
class Task:
    """What a process does.

    Args:
        name: For messages.
        command: Its words.
        log: Where it writes what it says.
    """

    name: str
    command: Sequence[str]
    log: Path


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Args:
        name: Of its task.
        problem: Its last message if it failed; None if it did not.
    """

    name: str
    problem: str | None


def run_tasks(tasks: Sequence[Task], jobs: int, told: Callable[[Ended], None]) -> list[Ended]:
    """Runs processes, so many at a time, and returns how they ended.

    Args:
        tasks: In the order in which they start.
        jobs: How many run together; each has a GPU of its own while there are enough.
        told: Called for each that has ended.
    """
    waiting, free = list(tasks), list(range(jobs))
    running: dict[int, tuple[Task, subprocess.Popen[bytes]]] = {}
    ended: list[Ended] = []
    gpus = visible_gpus()
    try:
        while waiting or running:
            while waiting and free:
                slot = free.pop(0)
                task = waiting.pop(0)
                log.info("%s begins; its log is %s", task.name, task.log)
                running[slot] = task, start(task, environment_of(slot, jobs, gpus))
            for slot, (task, process) in list(running.items()):
                if process.poll() is not None:
                    del running[slot]
                    free.append(slot)
                    ended.append(Ended(task.name, problem_of(task, process.returncode)))
                    told(ended[-1])
            time.sleep(LOOK_AGAIN if running else 0.0)
    finally:
        stop([process for _, process in running.values()])
    return ended


def problem_of(task: Task, code: int) -> str | None:
    """Returns the last message of a process that has failed; None for one that has not."""
    if code == 0:
        return None
    said = last_message(task.log)
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + (f"; before that: {said}" if said else "")
    return said or f"exit code {code} without a message"


def last_message(path: Path) -> str:
    """Returns why a process ended, or the last line that it wrote; empty if there is none."""
    lines = [line for line in _lines(path) if line.strip()]
    begins = [number for number, line in enumerate(lines) if line.startswith(COMPLAINT)]
    return "; ".join(lines[begins[-1] :] if begins else lines[-1:]).removeprefix(COMPLAINT)


def _lines(path: Path) -> list[str]:
    """Returns what the last attempt wrote."""
    lines = list(read_lines(path, "replace")) if path.is_file() else []
    begins = [number for number, line in enumerate(lines) if line.startswith(ATTEMPT)]
    return lines[begins[-1] + 1 :] if begins else lines


def environment_of(slot: int, jobs: int, gpus: Sequence[str]) -> Mapping[str, str]:
    """Returns the environment of the process in a slot: its GPU, and its share of the cores."""
    environment = dict(os.environ)
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
    environment.setdefault("OMP_NUM_THREADS", str(max(num_cores() // jobs, 1)))
    return environment


def visible_gpus() -> list[str]:
    """Returns the GPUs that processes may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    if given is not None:
        return [name for name in given.split(",") if name][:count]
    return [str(number) for number in range(count)]


def start(task: Task, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts the process of a task, which ends with this one."""
    task.log.parent.mkdir(parents=True, exist_ok=True)
    with task.log.open("ab") as said:
        said.write(f"{ATTEMPT}{time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode())
        said.flush()
        return subprocess.Popen(
            list(task.command),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,  # Ctrl-C is for this process, which then stops that one
            preexec_fn=_end_with_parent,
        )


def _end_with_parent() -> None:
    """Makes a process save and end when the one that started it dies, even by SIGKILL."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)  # Linux has it
    if prctl is not None:
        prctl(SET_SIGNAL_OF_PARENTS_DEATH, signal.SIGTERM)


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Asks processes to save and end, and waits for that."""
    for process in processes:
        process.terminate()
    until = time.monotonic() + PATIENCE
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(until - time.monotonic(), 0.1))
        if process.poll() is None:
            process.kill()
            process.wait()


def command_of(plugins: Sequence[str], words: Sequence[str]) -> list[str]:
    """Returns what starts a verb of asrkit in another process.

    Args:
        plugins: Modules that it imports first.
        words: The verb with its options.
    """
    imported = [word for name in plugins for word in ("--plugin", name)]
    return [sys.executable, "-m", "asrkit", *imported, *words]
