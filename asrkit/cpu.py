"""What this process has of the CPU, and which library multiplies matrices there."""

from __future__ import annotations

import os
from typing import Any

import torch


def num_cores() -> int:
    """Returns on how many cores this process may run."""
    return len(os.sched_getaffinity(0))


def multiply_with_onednn() -> bool:
    """Lets oneDNN instead of MKL multiply float32 matrices, where it does so in float32.

    MKL uses only half of what an AMD CPU can do. PyTorch asks oneDNN only under leave to compute in
    bfloat16, of which oneDNN makes use on CPUs with tiles for it (AMX, ARM): there all stays as it
    was. On others it has float32 kernels alone.

    Returns:
        Whether it is so from now on.
    """
    onednn: Any = torch.backends.mkldnn  # whose annotations lack matmul
    onednn.matmul.fp32_precision = "bf16"
    if not _products_are_float32():
        onednn.matmul.fp32_precision = "ieee"
        return False
    return True


def _products_are_float32() -> bool:
    """Whether a product keeps bits that bfloat16 hasn't."""
    values = torch.full((256, 256), 1 + 2**-20)
    return torch.equal(values @ torch.eye(256), values)
