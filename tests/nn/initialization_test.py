"""Weights are drawn with the variance that was asked for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from asrkit.nn.initialization import Fan, NormalInitialization, VarianceScaling
from asrkit.nn.positions import ClippedRelativePosition


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
    VarianceScaling().apply(nn.Sequential(plain, nn.Linear(4, 4)))
    torch.testing.assert_close(plain.weight, before)


def test_what_can_not_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="expected some of Linear, Conv1d, Conv2d, "):
        VarianceScaling(module_types=["GRU"])
    with pytest.raises(ValueError, match="expected some of Linear, Conv1d, Conv2d, "):
        NormalInitialization(1.0, module_types=[])
    with pytest.raises(ValueError, match=r"deviation \(0.0\) must be positive"):
        NormalInitialization(0.0, ["Linear"])
    with pytest.raises(ValueError, match=r"scale \(0.0\) must be positive"):
        VarianceScaling(scale=0.0)


def test_layers_are_chosen_by_name() -> None:
    torch.manual_seed(0)
    first, last = nn.Linear(300, 300), nn.Linear(300, 300)
    model, before = nn.ModuleDict({"first": first, "last": last}), last.weight.clone()
    VarianceScaling(0.01, pattern="first").apply(model)
    assert float(first.weight.detach().abs().max()) <= 0.01  # (3 * 0.01 / 300) ** 0.5
    torch.testing.assert_close(last.weight, before)
    with pytest.raises(ValueError, match="the model has no Linear whose name has the pattern 'x'"):
        VarianceScaling(pattern="x").apply(model)
    with pytest.raises(ValueError, match="the model has no Conv2d"):
        VarianceScaling(module_types=["Linear", "Conv2d"]).apply(model)


@pytest.mark.parametrize(
    ("module", "inputs", "outputs"),
    [
        (nn.ConvTranspose1d(40, 10, 3), 120, 30),
        (nn.Conv1d(24, 24, 5, groups=24), 5, 120),
        (ClippedRelativePosition(4, 16, clip=40), 81, 16),
        (nn.Embedding(100, 30), 100, 30),
    ],
)
def test_inputs_are_counted_as_in_tensorflow(module: nn.Module, inputs: int, outputs: int) -> None:
    torch.manual_seed(0)
    for fan, count in (("in", inputs), ("out", outputs), ("average", (inputs + outputs) / 2)):
        kinds = [type(module).__name__]
        VarianceScaling(2.0, fan, module_types=kinds).apply(module)  # type: ignore[arg-type]
        weight = next(module.parameters()).detach()
        bound = (3 * 2.0 / count) ** 0.5
        assert 0.9 * bound < float(weight.abs().max()) <= bound


def test_all_gates_of_an_lstm_are_one_matrix_and_biases_become_zero() -> None:
    torch.manual_seed(0)
    kinds = {"LSTM": nn.LSTM(60, 50, bidirectional=True), "LSTMCell": nn.LSTMCell(60, 50)}
    for kind, module in kinds.items():
        VarianceScaling(fan="average", module_types=[kind]).apply(module)
        for name, parameter in module.named_parameters():
            highest = float(parameter.detach().abs().max())
            inputs = 60 if name.startswith("weight_ih") else 50
            bound = 0.0 if name.startswith("bias") else (6 / (inputs + 200)) ** 0.5
            assert 0.99 * bound <= highest <= bound


@pytest.mark.parametrize("truncated", [False, True])
def test_a_deviation_may_be_given(truncated: bool) -> None:
    torch.manual_seed(0)
    table, linear = nn.Embedding(100, 200), nn.Linear(3, 3)
    before, model = linear.weight.clone(), nn.ModuleList([table, linear])
    NormalInitialization(2.0, ["Embedding"], truncated=truncated).apply(model)
    drawn = table.weight.detach()
    assert float(drawn.std()) == pytest.approx(2 * 0.8796 if truncated else 2, rel=0.02)
    assert (float(drawn.abs().max()) <= 4) == truncated
    torch.testing.assert_close(linear.weight, before)
