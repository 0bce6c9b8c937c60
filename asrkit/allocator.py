"""How the C library hands out memory for tensors on a CPU."""

from __future__ import annotations

import ctypes
import platform

# From glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Lets the process keep freed memory for its next tensors, where its C library is glibc's.

    Otherwise every large tensor gets pages of its own, which the kernel clears one by one and
    takes back soon after: a quarter of the time of a training step on a CPU.

    Returns:
        Whether it is so from now on.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(M_MMAP_MAX, 0) and library.mallopt(M_TRIM_THRESHOLD, -1))
