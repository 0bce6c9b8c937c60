"""The CPU is used in full, and computes what it did before."""

import logging
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_that_is_far_slower_is_replaced_and_said(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cpu, "slowdown", lambda dtype: 30.4)
    with caplog.at_level(logging.WARNING):
        assert cpu.affordable(dtype, torch.device("cpu")) == torch.float32
    (message,) = caplog.messages
    assert str(dtype).removeprefix("torch.") in message
    assert "30 times slower" in message
    assert "fp32" in message


def test_what_the_cpu_can_is_kept(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cpu, "slowdown", lambda dtype: 0.6)
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        assert cpu.affordable(dtype, torch.device("cpu")) == dtype
    assert not caplog.messages


def test_other_devices_and_float32_are_never_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dtype: torch.dtype) -> float:
        raise AssertionError(f"measured {dtype}")

    monkeypatch.setattr(cpu, "slowdown", refuse)
    assert cpu.affordable(torch.bfloat16, torch.device("cuda")) == torch.bfloat16
    assert cpu.affordable(torch.float32, torch.device("cpu")) == torch.float32


def test_slowdown_is_a_ratio_to_float32() -> None:
    assert cpu.slowdown(torch.float64) > 1.0
    assert 0.05 < cpu.slowdown(torch.float32) < 20.0
