"""Processes of a study: several at a time, none stops the others, and none outlives the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asrkit.queues.processes import Ended, Task, environment_of, last_message, run_tasks

ROOT = Path(__file__).parents[2]


def task(folder: Path, name: str, code: str) -> Task:
    return Task(name, [sys.executable, "-c", code], folder / "logs" / f"{name}.log")


def test_failures_have_their_last_message_and_stop_no_other(tmp_path: Path) -> None:
    told: list[Ended] = []
    tasks = [
        task(tmp_path, "fails", "print('asrkit: old'); print('asrkit: no data\\nat all'); exit(2)"),
        task(tmp_path, "killed", "import os; print('here', flush=True); os.kill(os.getpid(), 9)"),
        task(tmp_path, "silent", "exit(3)"),
        task(tmp_path, "works", "print('done')"),
    ]
    ended = run_tasks(tasks, 2, told.append)
    assert {each.name: each.problem for each in ended} == {
        "fails": "no data; at all",
        "killed": "killed by SIGKILL; before that: here",
        "silent": "exit code 3 without a message",
        "works": None,
    }
    assert told == ended
    assert last_message(tmp_path / "none") == ""


def test_the_last_message_is_that_of_the_last_attempt(tmp_path: Path) -> None:
    run_tasks([task(tmp_path, "again", "print('asrkit: first'); exit(1)")], 1, lambda _: None)
    run_tasks([task(tmp_path, "again", "print('fine')")], 1, lambda _: None)
    assert last_message(tmp_path / "logs" / "again.log") == "fine"


def test_each_process_has_its_gpu_and_its_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = [environment_of(slot, 3, ["4", "7"]) for slot in range(3)]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in found] == ["4", "7", "4"]
    assert int(found[0]["OMP_NUM_THREADS"]) >= 1
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert environment_of(0, 3, [])["OMP_NUM_THREADS"] == "5"


def test_processes_end_with_a_command_that_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    child = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    code = (
        "import sys; from pathlib import Path\n"
        "from asrkit.queues.processes import Task, run_tasks\n"
        f"run_tasks([Task('x', [sys.executable, '-c', {child!r}], Path({str(tmp_path)!r}) / 'x')],"
        " 1, print)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as command:
        until = time.monotonic() + 60
        while not (note.is_file() and note.read_text()) and time.monotonic() < until:
            time.sleep(0.05)
        command.send_signal(signal.SIGKILL)
    number = int(note.read_text())
    while Path(f"/proc/{number}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{number}").exists()
