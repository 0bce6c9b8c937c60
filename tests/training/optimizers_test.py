"""NAdam with constant momentum against the formula, and with rising momentum against torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from asrkit.training.optimizers import NAdam


@pytest.mark.parametrize("rising", [False, True])
def test_momentum_of_nadam_rises_or_is_constant(rising: bool) -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 1, bias=False)
    weight, rate = model.weight.detach().clone(), 0.01
    first, second = torch.zeros(1, 3), torch.zeros(1, 3)
    optimizer = NAdam(momentum="rising" if rising else "constant")(model)
    product = 1.0
    for step in range(1, 60):
        gradient = torch.randn(1, 3)
        model.weight.grad = gradient.clone()
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        now, then = ((1 - 0.5 * 0.96 ** (n * 0.004)) if rising else 1 for n in (step, step + 1))
        now, then = 0.9 * now, 0.9 * then
        product *= now
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient.square()
        looked = (1 - now) / (1 - product) * gradient + then / (1 - product * then) * first
        weight -= rate * looked / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        torch.testing.assert_close(model.weight.detach(), weight, rtol=1e-4, atol=1e-6)
