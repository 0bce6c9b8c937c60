"""Weights of a checkpoint come into a model as they are, or it is said what differs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asrkit.errors import UserError
from asrkit.experiment.runs import load_into


def test_weights_of_lower_precision_are_said(caplog: pytest.LogCaptureFixture) -> None:
    model = torch.nn.Linear(2, 2)
    weights = {name: tensor.half() for name, tensor in model.state_dict().items()}
    load_into(model, weights, Path("x.pt"))
    assert "x.pt: 2 tensors are torch.float16, this model's are torch.float32" in caplog.text


def test_a_tensor_that_is_missing_is_named() -> None:
    with pytest.raises(UserError, match=r"x.pt has no tensor 'bias'"):
        load_into(torch.nn.Linear(2, 2), {"weight": torch.zeros(2, 2)}, Path("x.pt"))
