"""The CPU is used in full, and computes what it did before."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from asrkit import cpu

ONEDNN: Any = torch.backends.mkldnn


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    """Leaves PyTorch as it was."""
    before = ONEDNN.matmul.fp32_precision
    yield
    ONEDNN.matmul.fp32_precision = before


@pytest.mark.parametrize("size", [3, 64, 700])
def test_products_keep_the_precision_of_float32(size: int) -> None:
    cpu.multiply_with_onednn()
    left, right = torch.randn(2, size, size), torch.randn(2, size, size)
    exact = left.double() @ right.double()
    assert (left @ right - exact).abs().max() < 1e-5 * size**0.5
    assert (left[0] @ right[0] - exact[0]).abs().max() < 1e-5 * size**0.5


def test_where_onednn_would_round_to_bfloat16_all_stays_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cpu, "_products_are_float32", lambda: False)
    assert not cpu.multiply_with_onednn()
    assert ONEDNN.matmul.fp32_precision == "ieee"


def test_rounding_to_bfloat16_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    multiply = torch.Tensor.__matmul__
    monkeypatch.setattr(
        torch.Tensor, "__matmul__", lambda a, b: multiply(a.bfloat16(), b.bfloat16()).float()
    )
    assert not cpu._products_are_float32()
