"""Where tests run: on the CPU, and on a GPU where there is one."""

from __future__ import annotations

import pytest
import torch

ON_CUDA = (
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
)
DEVICES = ["cpu", pytest.param("cuda", marks=ON_CUDA)]
