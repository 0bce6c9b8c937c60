"""How the C library allocates memory for tensors on a CPU."""

from __future__ import annotations

import ctypes
import platform

# From glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Lets the process keep freed memory for its next tensors, if its C library is glibc.

    Otherwise every large tensor gets new pages, which the kernel clears one by one and takes back
    soon after: a quarter of the time of a training step on a CPU.

    Returns:
        Whether the setting was accepted.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(M_MMAP_MAX, 0) and library.mallopt(M_TRIM_THRESHOLD, -1))
