"""Groups of parameters are what their patterns and types say, and never nothing."""

from __future__ import annotations

import pytest
from torch import nn

from asrkit.config.ordered import Ordered
from asrkit.errors import UserError
from asrkit.nn.norms import BatchNorm, LayerNorm
from asrkit.training.optimizers import AdamW, load_moments
from asrkit.training.parameter_groups import ParameterGroup, owned_parameters, parameter_groups


def selected(model: nn.Module, *groups: ParameterGroup) -> list[set[str]]:
    """Returns the names of the parameters of each group, those of the rest last."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    made = parameter_groups(model, list(groups), 0.1)
    return [{names[id(parameter)] for parameter in group["params"]} for group in made]


def test_first_match_holds() -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.LayerNorm(2)})
    groups = parameter_groups(
        model,
        [
            ParameterGroup(module_types=["LayerNorm"], weight_decay=0.0),
            ParameterGroup(pattern="bias$", lr_scale=2.0),
        ],
        weight_decay=0.1,
    )
    sizes = [(len(g["params"]), g["lr_scale"], g["weight_decay"]) for g in groups]
    assert sizes == [(2, 1.0, 0.0), (1, 2.0, 0.1), (1, 1.0, 0.1)]


@pytest.mark.parametrize("kind", ["BatchNorm", "BatchNorm1d"])
def test_wrappers_count_by_their_own_names_and_by_those_inside(kind: str) -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": BatchNorm(2)})
    found = selected(model, ParameterGroup(module_types=[kind]))
    assert found[0] == {"b.norm.weight", "b.norm.bias"}


def test_modules_with_more_than_one_part_are_no_wrappers() -> None:
    inner = nn.ModuleDict({"a": nn.Linear(2, 2), "b": LayerNorm(2)})
    owners = {each.name: each.owners for each in owned_parameters(nn.ModuleDict({"c": inner}))}
    assert owners["c.a.weight"] == ["Linear"]
    assert owners["c.b.norm.weight"] == ["LayerNorm", "LayerNorm"]


def test_biases_of_recurrent_layers_are_biases() -> None:
    model = nn.ModuleDict({"a": nn.LSTM(2, 2, bidirectional=True), "b": nn.LSTMCell(2, 2)})
    biases, rest = selected(model, ParameterGroup(pattern="bias$"))
    assert biases == {name for name, _ in model.named_parameters() if "bias" in name}
    assert rest == {name for name, _ in model.named_parameters() if "weight" in name}
    only = selected(model, ParameterGroup(pattern="bias_ih_l0$"))[0]
    assert only == {"a.bias_ih_l0"}, "names as they are can be meant as well"


def test_what_selects_nothing_is_refused() -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.LayerNorm(2)})
    with pytest.raises(ValueError, match="'nothing'.* selects no parameter"):
        parameter_groups(model, [ParameterGroup(pattern="nothing")], 0.0)
    types = ParameterGroup(module_types=["LayerNorm", "BatchNorm"])
    with pytest.raises(ValueError, match="'BatchNorm' selects no parameter; .*: LayerNorm, Linear"):
        parameter_groups(model, [types], 0.0)
    both = ParameterGroup(pattern="^a", module_types=["Linear", "LayerNorm"])
    with pytest.raises(ValueError, match="'\\^a'.*module type 'LayerNorm' selects no parameter"):
        parameter_groups(model, [both], 0.0)
    biases = ParameterGroup(pattern="bias$")
    taken = ParameterGroup(pattern="^b.*bias", module_types=["LayerNorm"])
    with pytest.raises(ValueError, match="that an earlier group left"):
        parameter_groups(model, [biases, taken], 0.0)


def test_moments_of_other_groups_are_refused() -> None:
    model = nn.Linear(2, 2)
    old = AdamW()(model)
    new = AdamW(groups=Ordered(a=ParameterGroup("bias$")))(model)
    with pytest.raises(UserError, match=r"groups of \[2\] parameters, this one of \[1, 1\]"):
        load_moments(new, old.state_dict())
    load_moments(AdamW()(model), old.state_dict())


def test_a_weight_that_two_layers_share_is_held_once() -> None:
    model = nn.ModuleDict({"a": nn.Embedding(3, 2), "b": nn.Linear(2, 3)})
    model["b"].weight = model["a"].weight
    assert [each.name for each in owned_parameters(model)] == ["a.weight", "b.bias"]
    (group,) = parameter_groups(model, [], 0.0)
    assert len(group["params"]) == len(list(model.parameters())) == 2
