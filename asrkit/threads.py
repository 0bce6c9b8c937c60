"""The number of computing threads, and how they wait for each other.

Threads that wait for work spin by default, to lose no time. If other programs need the same cores,
they spin while the thread they wait for is not running: then a small model trains many times slower
than with one thread.
"""

from __future__ import annotations

import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""The CPU quota of a container: microseconds per period, or "max"."""


def wait_passively() -> None:
    """Makes threads sleep while they wait; must be called before PyTorch is loaded.

    Settings of the user take precedence.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # GNU OpenMP, and the standard
    os.environ.setdefault("KMP_BLOCKTIME", "0")  # Intel's and LLVM's OpenMP


def num_cores(quota: Path = QUOTA) -> int:
    """Returns the number of cores this process may use, by its affinity and its container's quota.

    Args:
        quota: File with the quota.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        most, period = quota.read_text(encoding="ascii").split()
        share = -(-int(most) // int(period))
    except (OSError, ValueError):  # no container, or no limit
        return cores or 1
    return max(min(cores or 1, share), 1)


def use_threads(number: int | None) -> None:
    """Sets the number of computing threads.

    Args:
        number: Requested by the user; if None, the library's default, at most one per core.
    """
    import torch  # takes a while, and must come after `wait_passively`

    if number is not None:
        torch.set_num_threads(number)
    elif "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > num_cores():
        torch.set_num_threads(num_cores())
