"""How much memory this process may use."""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from pathlib import Path

from asrkit.errors import UserError
from asrkit.files import read_lines

CONTAINER = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""The limit of a container, in bytes, or "max"; of both versions of control groups."""
MACHINE = Path("/proc/meminfo")


def most_memory(limits: Sequence[Path] = CONTAINER) -> int:
    """Returns the bytes that this process may use: all, or what its container or user may.

    Args:
        limits: Files with the container's limit.
    """
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    of_user, _ = resource.getrlimit(resource.RLIMIT_AS)  # ulimit -v
    if of_user != resource.RLIM_INFINITY:
        found.append(of_user)
    for path in limits:
        try:
            found.append(int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):  # no container, or no limit
            continue
    return min(found)


def free_memory(machine: Path = MACHINE) -> int | None:
    """Returns the bytes that no other process needs now; None where the system doesn't tell."""
    try:
        for line in read_lines(machine):
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except (UserError, ValueError):  # another system
        return None
    return None
