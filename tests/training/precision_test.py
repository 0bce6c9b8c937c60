"""Half precision on CPUs with and without instructions for it."""

from __future__ import annotations

import logging

import pytest
import torch

from asrkit.cpu import slowdown
from asrkit.training import updates


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_that_is_far_slower_is_replaced_and_said(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(updates, "slowdown", lambda dtype: 30.4)
    with caplog.at_level(logging.WARNING):
        assert updates.affordable(dtype, torch.device("cpu")) == torch.float32
    (message,) = caplog.messages
    assert str(dtype).removeprefix("torch.") in message
    assert "30 times slower" in message
    assert "fp32" in message


def test_what_the_cpu_can_is_kept(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(updates, "slowdown", lambda dtype: 0.6)
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        assert updates.affordable(dtype, torch.device("cpu")) == dtype
    assert not caplog.messages


def test_other_devices_and_float32_are_never_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dtype: torch.dtype) -> float:
        raise AssertionError(f"measured {dtype}")

    monkeypatch.setattr(updates, "slowdown", refuse)
    assert updates.affordable(torch.bfloat16, torch.device("cuda")) == torch.bfloat16
    assert updates.affordable(torch.float32, torch.device("cpu")) == torch.float32


def test_slowdown_is_a_ratio_to_float32() -> None:
    assert slowdown(torch.float64) > 1.0
    assert 0.05 < slowdown(torch.float32) < 20.0
