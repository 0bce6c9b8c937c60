"""Signals ask a training to save and stop, once or several times; other verbs end cleanly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asrkit.signals import STOPPING, StoppedBySignalError
from asrkit.training.signals import StopRequests
from tests.training.whole_resume_test import make_data


def test_signals_that_come_again_are_harmless() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequests() as stop:
        assert not stop.asked
        for number in (signal.SIGTERM, *STOPPING):
            os.kill(os.getpid(), number)
        assert stop.asked
        assert stop.exit_code == 75
    assert signal.getsignal(signal.SIGTERM) == before


def test_ctrl_c_twice_stops_at_once() -> None:
    with StopRequests() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.exit_code == 130
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_closed_terminal_does_not_stop_what_nohup_started() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequests() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.asked
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_stop_does_not_wait_for_batches_that_never_come() -> None:
    def hangs() -> Iterator[int]:
        yield 1
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    with StopRequests(patience=0.4) as stop:
        batches = hangs()
        assert stop.take(batches, 1) == [1]
        begin = time.monotonic()
        assert stop.take(batches, 1) is None
        assert time.monotonic() - begin < 30
        assert stop.asked
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_batches_that_come_in_time_are_used_though_a_stop_is_asked_for() -> None:
    def slow() -> Iterator[int]:
        os.kill(os.getpid(), signal.SIGTERM)
        yield from (1, 2)

    with StopRequests() as stop:
        assert stop.take(slow(), 3) == [1, 2]
        assert stop.asked


def run(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


BLOCKED = """
import hashlib
from asrkit.training.signals import StopRequests
with StopRequests(processes=2, patience=0.5):
    print("started", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
"""


def test_a_process_that_waits_for_a_dead_one_ends_some_time_after_the_signal() -> None:
    process = run(BLOCKED)
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 143
    assert "waits for another one" in errors


FORKING = """
import os, time
from asrkit.signals import end_by_exception
from asrkit.training.signals import StopRequests
end_by_exception()
with StopRequests(processes=2) as stop:
    child = os.fork()
    if not child:
        time.sleep(2)
        os._exit(7)
    time.sleep(0.5)
    os.kill(child, 15)
    os.kill(child, 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), stop.asked)
child = os.fork()
if not child:
    time.sleep(10)
    os._exit(1)
time.sleep(0.5)
os.kill(child, 15)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_processes_that_work_for_a_training_are_not_stopped_with_it() -> None:
    said, errors = run(FORKING).communicate(timeout=300)
    assert said.split() == ["7", "False", "-15"], errors


def test_other_work_is_ended_by_an_exception_once() -> None:
    program = """
import os, time
from asrkit.signals import end_by_exception
end_by_exception()
try:
    os.kill(os.getpid(), 10)
    time.sleep(10)
except BaseException as error:
    os.kill(os.getpid(), 15)
    time.sleep(0.1)
    print(type(error).__name__, error.name)
"""
    said, errors = run(program).communicate(timeout=300)
    assert said.split() == [StoppedBySignalError.__name__, "SIGUSR1"], errors


def test_a_signal_while_python_ends_leaves_the_exit_code() -> None:
    program = """
import atexit, os, sys
atexit.register(lambda: os.kill(os.getpid(), 1))  # after what is registered later
from asrkit.signals import end_by_exception
end_by_exception()
sys.exit(75)
"""
    process = run(program)
    _, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (75, "")


@pytest.mark.slow
@pytest.mark.parametrize(("names", "code"), [(["USR1", "TERM", "HUP"], 75), (["INT"], 130)])
def test_a_training_saves_and_says_so(tmp_path: Path, names: list[str], code: int) -> None:
    make_data(tmp_path)
    words = ["train", "spec.yaml", "--data", "data", "--run", "run", "training.epochs=500"]
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "asrkit", *words],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=said,
            stderr=said,
        )
        while process.poll() is None and not list(tmp_path.glob("run/checkpoints/*.pt")):
            time.sleep(0.05)
        for name in names:
            process.send_signal(signal.Signals[f"SIG{name}"])
            time.sleep(0.05)
        assert process.wait(timeout=300) == code
    message = (tmp_path / "said").read_text()
    assert "everything is saved in run/checkpoints: the same command continues" in message
    assert "Traceback" not in message


def test_a_training_whose_launcher_has_ended_stops() -> None:
    program = """
import os, time
from asrkit.training.signals import StopRequests
if os.fork():
    time.sleep(1)
    os._exit(0)
with StopRequests(processes=2) as stop:
    deadline = time.monotonic() + 20
    while not stop.asked and time.monotonic() < deadline:
        time.sleep(0.05)
    print("asked", stop.asked, stop.exit_code)
"""
    said, errors = run(program).communicate(timeout=300)
    assert said.split() == ["asked", "True", "75"]
    assert "torchrun has ended" in errors
