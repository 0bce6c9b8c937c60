"""How many threads compute, and how they wait for each other.

Threads that wait for work spin by default, so as to lose no time. Where other programs want the
same cores, they spin while the thread that they wait for is not running: a small model then trains
many times slower than with one thread.
"""

from __future__ import annotations

import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""What a container may use of all cores: microseconds in each period, or "max"."""


def wait_passively() -> None:
    """Makes threads sleep while they wait; PyTorch must not be loaded yet.

    What the user has set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # of GNU's library, and the standard's
    os.environ.setdefault("KMP_BLOCKTIME", "0")  # of Intel's and LLVM's


def num_cores(quota: Path = QUOTA) -> int:
    """Returns how many cores this process may use, by its affinity and its container's share.

    Args:
        quota: File that tells the latter.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        most, period = quota.read_text(encoding="ascii").split()
        share = -(-int(most) // int(period))
    except (OSError, ValueError):  # no container, or no limit
        return cores or 1
    return max(min(cores or 1, share), 1)


def use_threads(number: int | None) -> None:
    """Computes with so many threads; where None, with as many as the library likes and has cores.

    Args:
        number: What the user has asked for, if anything.
    """
    import torch  # which takes a while, and must come after `wait_passively`

    if number is not None:
        torch.set_num_threads(number)
    elif "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > num_cores():
        torch.set_num_threads(num_cores())
