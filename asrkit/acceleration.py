"""Decides where Triton kernels replace PyTorch's operations in the losses.

The kernels (`triton_*.py`) and the PyTorch code have the same arguments and results. Code with both
asks `triton_serves`; the decision is made nowhere else. Triton takes long to import and is not
available everywhere, so these modules are imported where they are called.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor


def triton_serves(tensor: Tensor) -> bool:
    """Returns whether to compute with Triton kernels rather than with PyTorch's operations.

    This is so on a GPU with Triton installed, unless autograd records: the kernels have no
    derivatives other than those written by hand in the losses.
    """
    recorded = torch.is_grad_enabled() and tensor.requires_grad
    return tensor.is_cuda and not recorded and _installed()


@cache
def _installed() -> bool:
    return find_spec("triton") is not None
