"""Where Triton's kernels take the place of PyTorch's operations in the losses.

The kernels (`triton_*.py`) and the PyTorch code have the same arguments and results. What works by
either asks `triton_serves`, and nobody else decides. Triton takes long to import and is not on
every platform, so these modules are imported where they are called.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor


def triton_serves(tensor: Tensor) -> bool:
    """Returns whether to calculate with kernels of Triton rather than with PyTorch's operations.

    That is on a GPU, where Triton is installed, and not where autograd records: what the kernels
    do has no derivatives but those that the losses write down themselves.
    """
    recorded = torch.is_grad_enabled() and tensor.requires_grad
    return tensor.is_cuda and not recorded and _installed()


@cache
def _installed() -> bool:
    return find_spec("triton") is not None
