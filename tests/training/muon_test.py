from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from asrkit.config.ordered import Ordered
from asrkit.training.muon import Muon
from asrkit.training.parameter_groups import ParameterGroup
from tests.training.stops import require_same_ends


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden, self.output = nn.Linear(4, 3), nn.Linear(3, 2)
        self.table, self.kernel = nn.Embedding(5, 4), nn.Conv1d(4, 4, 3)


def test_a_stopped_training_ends_the_same(tmp_path: Path) -> None:
    state = require_same_ends(tmp_path, optimizer=Muon(adamw=["3.weight"]))
    moments = state["optimizer"]["state"]
    assert [set(moments[number]) for number in (0, 1)] == [
        {"momentum_buffer"}, {"exp_avg", "exp_avg_sq", "step"}
    ]  # fmt: skip
    assert len(moments) == 4


def test_matrices_take_steps_of_muon_and_the_rest_those_of_adamw() -> None:
    model, other = Parts(), Parts()
    groups = Ordered({"biases": ParameterGroup("bias$", weight_decay=0.0)})
    made = Muon(adamw=["output"], weight_decay=0.1, groups=groups)(model)
    muon = torch.optim.Muon([other.hidden.weight], 0.01, 0.1, 0.95, adjust_lr_fn="match_rms_adamw")
    weights = [other.output.weight, other.table.weight, other.kernel.weight]
    biases = [other.hidden.bias, other.output.bias, other.kernel.bias]
    each: list[dict[str, Any]] = [{"params": weights}, {"params": biases, "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(each, 0.01, (0.9, 0.98), weight_decay=0.1, fused=True)
    for group in made.param_groups:
        group["lr"] = 0.01
    for number in range(3):
        for parts in (model, other):
            generator = torch.Generator().manual_seed(number)
            for parameter in parts.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
        for optimizer in (made, muon, adamw):
            optimizer.step()
    for (name, one), two in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-7, msg=name)


def test_a_pattern_that_selects_no_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match="'kernel' selects no matrix"):
        Muon(adamw=["kernel"])(Parts())
