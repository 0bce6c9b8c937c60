"""Weights are drawn with the variance that was asked for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from asrkit.nn.initialization import Fan, VarianceScaling


@pytest.mark.parametrize(("fan", "count"), [("in", 400), ("out", 200), ("average", 300)])
def test_variances_are_scale_by_fan(fan: Fan, count: int) -> None:
    torch.manual_seed(0)
    linear, embedding = nn.Linear(400, 200), nn.Embedding(5, 400)
    layers, before = nn.Sequential(linear, embedding), embedding.weight.clone()
    for distribution in ("uniform", "normal"):
        VarianceScaling(0.78, fan, distribution).apply(layers)
        variance = 0.78 / count
        assert float(linear.weight.detach().var()) == pytest.approx(variance, rel=0.05)
        assert not linear.bias.any()
        highest = float(linear.weight.detach().abs().max())
        assert (highest <= (3 * variance) ** 0.5) == (distribution == "uniform")
    torch.testing.assert_close(embedding.weight, before)


def test_convolutions_count_their_kernel() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 64, kernel_size=(3, 5))
    VarianceScaling(module_types=["Conv2d"]).apply(layer)
    assert float(layer.weight.detach().var()) == pytest.approx(1 / (16 * 15), rel=0.05)
    plain = nn.Conv1d(4, 4, 3, bias=False)
    before = plain.weight.clone()
    VarianceScaling().apply(plain)
    torch.testing.assert_close(plain.weight, before)


def test_what_can_not_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="expected some of Linear, Conv1d, Conv2d"):
        VarianceScaling(module_types=["Embedding"])
    with pytest.raises(ValueError, match=r"scale \(0.0\) must be positive"):
        VarianceScaling(scale=0.0)
