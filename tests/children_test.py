from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
import time
from multiprocessing import active_children
from pathlib import Path

import pytest

from asrkit import children
from asrkit.children import LostProcessError, process_pool
from asrkit.errors import UserError
from asrkit.failures import explain_failure


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_killed_process_is_told_and_none_is_left() -> None:
    with (
        pytest.raises(LostProcessError, match="one of 2 processes was killed"),
        process_pool(2) as p,
    ):
        list(p.map(die, range(4)))
    assert not active_children()


class OddError(Exception):
    """Can't be made anew from its text."""

    def __init__(self, path: str, line: int) -> None:
        super().__init__(f"{path}:{line} is odd")


def odd(number: int) -> int:
    raise OddError("x.flac", number)


def test_errors_that_cannot_be_sent_arrive_as_text() -> None:
    with pytest.raises(RuntimeError, match=r"OddError: x\.flac:0 is odd"), process_pool(2) as pool:
        list(pool.map(odd, range(4)))
    assert not active_children()


def test_processes_in_the_middle_of_their_work_end_with_an_error() -> None:
    begin = time.monotonic()
    with pytest.raises(ZeroDivisionError), process_pool(2) as pool:
        print(pool.submit(time.sleep, 60), 1 / 0)
    assert time.monotonic() - begin < 30
    assert not active_children()


def test_processes_that_cannot_start_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", no_fork)
    with pytest.raises(UserError, match=r"2 processes can't be started.*ulimit"), process_pool(2):
        raise AssertionError("there are none")


def test_shared_memory_that_is_full_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(children, "_Pool", no_space)
    with pytest.raises(UserError, match="No space left on device.*/dev/shm"), process_pool(2):
        raise AssertionError("there are none")


PARENT = """
import time
from asrkit.children import process_pool
with process_pool(1) as pool:
    print(next(iter(pool._processes)), flush=True)
    pool.submit(time.sleep, 60).result()
"""


def alive(process: int) -> bool:
    state = Path(f"/proc/{process}/stat")
    return state.is_file() and state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="needs Linux")
def test_processes_end_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True
    ) as main:
        assert main.stdout is not None
        child = int(main.stdout.readline())
        os.kill(child, signal.SIGTERM)  # a scheduler's, which the parent answers
        time.sleep(0.2)
        assert alive(child)
        main.kill()
        for _ in range(100):
            if not alive(child):
                return
            time.sleep(0.05)
    pytest.fail("it is still there")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("CUDA error: device-side assert triggered\nmore"), "the GPU failed: CUDA"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "memory is short: CUDA"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "memory is sh"),
        (MemoryError(), "memory is short"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
        (RuntimeError("[gloo/pair.cc:5] Connection closed by peer [::1]:4"), "another process of"),
        (RuntimeError("NCCL communicator was aborted on rank 1"), "another process of"),
    ],
)
def test_failures_of_the_machine_are_told_in_a_sentence(error: Exception, told: str) -> None:
    message = explain_failure(error)
    assert message is not None
    assert message.startswith(told)
    assert "the same command" in message


def test_other_errors_are_not_explained_away() -> None:
    assert explain_failure(RuntimeError("shape mismatch")) is None
    assert explain_failure(KeyError("CUDA error")) is None


LEFT_WHILE_RESULTS_COME = """
import time
from asrkit.children import process_pool

def much():
    return bytes(60_000_000)

for attempt in range(8):
    try:
        with process_pool(2) as pool:
            for _ in range(4):
                pool.submit(much)
            time.sleep(0.02 + 0.02 * attempt)
            raise KeyError
    except KeyError:
        pass
print("left")
"""


def test_a_pool_can_be_left_while_its_processes_write_results() -> None:
    words = [sys.executable, "-c", LEFT_WHILE_RESULTS_COME]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout == "left\n", done.stderr


def test_processes_keep_no_copy_of_freed_memory() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("freed memory can't be returned without glibc")

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    blocks = [
        bytes([1]) * 60_000 for _ in range(4000)
    ]  # 240 MB, too small for mappings of their own
    last = bytes([2]) * 60_000  # above them, so that they stay with the process
    held = resident()
    blocks.clear()
    with process_pool(1) as pool:
        assert held - resident() > 150e6
        assert pool.submit(len, last).result() == 60_000
