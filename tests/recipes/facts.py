"""What a spec resolves to, for tests that compare it with what public configurations say."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import nn

from asrkit.config.build import build
from asrkit.config.ordered import Ordered
from asrkit.config.yaml_loader import Spec
from asrkit.experiment import load_spec
from asrkit.experiment.spec import resolve_spec
from asrkit.experiment.train import Stage, stages_of
from asrkit.models.interfaces import TrainableModel
from asrkit.nn.attention import SelfAttention
from asrkit.nn.dropout import Dropout
from asrkit.text.vocabulary import Vocabulary
from asrkit.training.parameter_groups import ParameterGroup, parameter_groups
from asrkit.training.schedules import Schedule


class Parts:
    """A schedule and the groups of an optimiser."""

    def __init__(self, schedule: Schedule, groups: Ordered[ParameterGroup]) -> None:
        self.schedule, self.groups = schedule, list(groups.values())


def stages(spec: Path) -> list[Stage]:
    """Returns the stages of a spec, the last one with the whole model."""
    experiment, resolved = resolve_spec(load_spec(spec))
    return stages_of(experiment, resolved, Path())


def model_of(stage: Stage, vocabulary: Vocabulary) -> nn.Module:
    """Returns the model of a stage without memory for its parameters."""
    with torch.device("meta"):
        model: TrainableModel = stage.experiment.model(vocabulary=vocabulary)
    return model


def parts_of(stage: Stage) -> Parts:
    """Returns the schedule and the groups of a stage."""
    training = stage.resolved["training"]
    groups = training["optimizer"]["groups"]
    return build(Parts, Spec({"schedule": training["schedule"], "groups": groups}))


def decays(stage: Stage, model: nn.Module) -> dict[str, float]:
    """Returns the weight decay of all parameters, where the optimiser itself has none."""
    assert stage.resolved["training"]["optimizer"]["weight_decay"] == 0.0
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model, parts_of(stage).groups, 0.0)
    return {names[id(p)]: group["weight_decay"] for group in groups for p in group["params"]}


def dropouts(model: nn.Module) -> dict[str, float]:
    """Returns all dropouts that are not 0 by their places, which are the same in all blocks."""
    found: dict[str, float] = {}
    for name, module in model.named_modules():
        place = place_of(name)
        if isinstance(module, Dropout) and module.probability:
            assert found.setdefault(place, module.probability) == module.probability
        if isinstance(module, SelfAttention) and module.dropout:
            assert found.setdefault(f"{place}.weights", module.dropout) == module.dropout
    return found


def place_of(name: str) -> str:
    """Returns the name of a module or parameter without the number of its block."""
    return re.sub(r"blocks\.\d+", "blocks", name)
