"""The CPU cores of this process, and the library that multiplies matrices."""

from __future__ import annotations

import logging
import os
import time
from functools import cache
from typing import Any

import torch

log = logging.getLogger(__name__)
TOO_SLOW = 4.0
"""How many times slower than fp32 makes half precision useless on a CPU."""


def num_cores() -> int:
    """Returns the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def multiply_with_onednn() -> bool:
    """Lets oneDNN instead of MKL multiply float32 matrices, if it does so in float32.

    MKL uses only half of what an AMD CPU can do. PyTorch calls oneDNN only with permission to
    compute in bfloat16, which oneDNN uses on CPUs with instructions for it (AMX, ARM): there,
    nothing changes. On others it only has float32 kernels.

    Returns:
        Whether oneDNN is used from now on.
    """
    onednn: Any = torch.backends.mkldnn  # whose annotations lack matmul
    onednn.matmul.fp32_precision = "bf16"
    if not _products_are_float32():
        onednn.matmul.fp32_precision = "ieee"
        return False
    return True


def _products_are_float32() -> bool:
    """Returns whether a product is more precise than bfloat16."""
    values = torch.full((256, 256), 1 + 2**-20)
    return torch.equal(values @ torch.eye(256), values)


def affordable(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """Returns a precision, or float32 if that is far faster on this CPU, which is said."""
    if device.type != "cpu" or dtype == torch.float32 or slowdown(dtype) < TOO_SLOW:
        return dtype
    log.warning(
        "precision: this CPU has no instructions for %s, and is %.0f times slower with it: "
        "computing in fp32 instead",
        str(dtype).removeprefix("torch."),
        slowdown(dtype),
    )
    return torch.float32


@cache
def slowdown(dtype: torch.dtype) -> float:
    """Returns how many times as long as in float32 a product of matrices takes in another type.

    Without instructions for bfloat16 or float16, which many CPUs lack, it is some fifty times.
    """
    return _seconds_of_product(dtype) / _seconds_of_product(torch.float32)


def _seconds_of_product(dtype: torch.dtype) -> float:
    """Returns the shortest of some measured times, the one that other processes disturbed least."""
    matrix = torch.ones(128, 128, dtype=dtype)
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - start)
    return min(seconds)
