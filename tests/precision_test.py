"""Under bfloat16 autocast, every recipe's losses and gradients stay near those of float32."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import Tensor

from asrkit.models.asr_model import AsrModel
from asrkit.models.interfaces import TrainableModel
from asrkit.nn.dropout import Dropout
from tests.devices import DEVICES
from tests.recipes_test import SPECS
from tests.small_recipes import batch_for, distinct, make


def without_chance(model: TrainableModel) -> TrainableModel:
    """Takes dropout and augmentation away; what is trained stays in training mode."""
    for module in model.modules():
        if isinstance(module, Dropout):
            module.probability = 0.0
        if isinstance(getattr(module, "dropout", None), float):
            setattr(module, "dropout", 0.0)  # noqa: B010 - some modules have a number there
    if isinstance(model, AsrModel):
        model.augment = torch.nn.ModuleDict()
    return model.train()


def gradient(path: Path, device: str, autocast: bool) -> tuple[float, Tensor]:
    """Returns the loss of a batch and its gradient, all parameters' in a row."""
    model = without_chance(make(path))
    batch = batch_for(model).to(torch.device(device))
    model.to(device)
    torch.manual_seed(3)
    with torch.autocast(device, torch.bfloat16) if autocast else nullcontext():
        report = model(batch, 0)
    for name, part in report.items():
        assert part.total.dtype in (torch.float32, torch.float64), name
    objective = torch.stack([p.weight * p.total.float() for p in report.values() if p.weight]).sum()
    objective.backward()
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        assert tensor.dtype not in (torch.bfloat16, torch.float16), name
    found = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return float(objective.detach()), torch.cat(found).cpu()


NEAR = {"hybrid-ablation.yaml": 0.9, "mini-chunked.yaml": 0.9}
"""Where less is asked: rounding decides which of few channels' values a pool lets pass."""


@pytest.mark.parametrize("path", distinct(SPECS), ids=lambda path: "-".join(path.parts[-3:]))
@pytest.mark.parametrize("device", DEVICES)
def test_gradients_in_bfloat16_are_near_those_in_float32(path: Path, device: str) -> None:
    exact, of_exact = gradient(path, device, autocast=False)
    loss, found = gradient(path, device, autocast=True)
    assert loss == pytest.approx(exact, rel=0.005)
    assert bool(found.isfinite().all())
    alike = float(torch.nn.functional.cosine_similarity(found, of_exact, dim=0))
    assert alike > NEAR.get(path.name, 0.995)
