"""The published hybrid models have the published parameters, first weights and learning rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asrkit.config.build import build
from asrkit.config.ordered import Ordered
from asrkit.config.yaml_loader import Spec, change
from asrkit.experiment import Experiment, load_spec
from asrkit.experiment.spec import resolve_spec
from asrkit.models.asr_model import AsrModel
from asrkit.models.heads.frame_cross_entropy import FrameCrossEntropyHead
from asrkit.nn.augment import Augment
from asrkit.text.vocabulary import Vocabulary
from asrkit.training.optimizers import OptimizerFactory
from asrkit.training.schedules import Schedule

RECIPES = Path(__file__).parents[2] / "recipes"
PING = "librispeech/conf/hybrid-ping.yaml"
SMALL = "librispeech/conf/hybrid-small.yaml"
CONVOLUTION = "model.encoder.blocks.convolution.module"
SQUEEZED = {"type": "squeeze_excitation", "bottleneck_dim": 32, "output": "swish"}
Changes = dict[str, Any]


@dataclass
class Masking:
    """Some parts of a model."""

    augment: Ordered[Augment]


@dataclass
class Parts:
    """Some parts of a training."""

    schedule: Schedule
    optimizer: OptimizerFactory


def parts_of(name: str) -> Parts:
    training = load_spec(RECIPES / name).tree["training"]
    return build(Parts, Spec({key: training[key] for key in ("schedule", "optimizer")}))


def experiment_of(name: str, changes: Changes, without: list[str]) -> Experiment:
    tree = load_spec(RECIPES / name).tree
    change(tree, changes, without)
    return resolve_spec(Spec(tree))[0]


def model_of(experiment: Experiment) -> nn.Module:
    model: nn.Module = experiment.model(vocabulary=Vocabulary(["a", "b"]))
    return model


def counted(name: str, changes: Changes, without: list[str]) -> tuple[int, int]:
    """Returns the numbers of parameters, and of the running statistics of norms."""
    with torch.device("meta"):
        model = model_of(experiment_of(name, changes, without))
    trained = sum(parameter.numel() for parameter in model.parameters())
    running = [b for name, b in model.named_buffers() if "running" in name]
    return trained, sum(buffer.numel() for buffer in running)


def test_published_models_have_the_published_parameters() -> None:
    assert counted(PING, {}, []) == (86_828_450, 0)
    assert counted(SMALL, {}, []) == (28_138_737, 28_144_881 - 28_138_737)


@pytest.mark.parametrize(
    ("changes", "without", "expected"),
    [
        ({"model.encoder.taps": []}, ["model.heads.aux_6"], 82_760_129),
        ({f"{CONVOLUTION}.norm": "group_norm"}, [], 86_828_450),
        ({f"{CONVOLUTION}.norm": "batch_norm"}, [], 86_840_738),
        ({f"{CONVOLUTION}.gate": SQUEEZED}, [], 87_228_194),
    ],
)
def test_variants_have_theirs(changes: Changes, without: list[str], expected: int) -> None:
    assert sum(counted(PING, changes, without)) == expected


def test_the_small_model_of_half_as_many_frames_has_its_own() -> None:
    changes = {
        "model.encoder.frontend.vgg.time_pools": [1, 2],
        "model.heads.states.upsampling": {
            "type": "transposed_convolution",
            "factor": 2,
            "kernel_size": 3,
        },
    }
    trained, running = counted(SMALL, changes, [])
    assert round((trained + running) / 1e6, 2) == 28.34


@pytest.mark.parametrize(("name", "rising", "constant"), [(PING, 10, 90), (SMALL, 2, 18)])
def test_learning_rates_are_those_of_the_published_lists(
    name: str, rising: int, constant: int
) -> None:
    schedule = parts_of(name).schedule
    falling = np.logspace(1, 389, num=389, base=0.99)
    assert int(math.log(1 / 50, 0.99)) == len(falling)
    expected = [*np.linspace(2e-4, 5e-4, rising), *[5e-4] * constant, *5e-4 * falling, 5e-4 / 50]
    found = [schedule.lr(0, epoch) for epoch in range(1, len(expected) + 1)]
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "axis", "frames", "expected"),
    [
        (PING, "time", 300, (0, 20)),
        (PING, "time", 7, (0, 7)),
        (PING, "frequency", 300, (0, 1)),
        (SMALL, "time", 200, (1, 10)),
        (SMALL, "time", 30, (1, 1)),
        (SMALL, "frequency", 30, (1, 2)),
    ],
)
def test_numbers_of_masks_are_published(
    name: str, axis: str, frames: int, expected: tuple[int, int]
) -> None:
    tree = load_spec(RECIPES / name).tree["model"]["augment"]
    none = {"min_count": 0, "max_count": 0, "max_width": 1}
    masks = {"time": none, "frequency": none}
    # Masks begin at different places: where they are no wider than 1, all of them are seen.
    masks[axis] = {**tree["spec_augment"][axis], "max_width": 1}
    spec = {"augment": {"masks": {"type": "spec_augment", **masks}}}
    augment = build(Masking, Spec(spec)).augment["masks"]
    torch.manual_seed(0)
    speech, lengths = torch.ones(500, frames, 50), torch.full((500,), frames)
    masked = augment(speech, lengths, 0)[0] == 0  # (B, T, F)
    numbers = masked.all({"time": 2, "frequency": 1}[axis]).sum(1)  # (B,)
    assert (int(numbers.min()), int(numbers.max())) == expected


def weights(name: str, changes: Changes) -> dict[str, Tensor]:
    """Returns first weights of a model of one block and 50 states."""
    torch.manual_seed(0)
    few = {"model.encoder.num_layers": 1, "model.heads.states.states": 50}
    model = model_of(experiment_of(name, {**few, **changes}, []))
    return {each: parameter.detach() for each, parameter in model.named_parameters()}


def test_first_weights_are_drawn_as_in_the_published_model() -> None:
    one = {"model.encoder.taps": [1], "model.heads.aux_6.tap": 1, "model.heads.aux_6.states": 50}
    found = weights(PING, one)
    block = "encoder.blocks.0"
    bounds = {
        "encoder.input": 0.78 * 3 / 4800,
        f"{block}.ffn1.module.expand": 0.78 * 3 / 512,
        f"{block}.ffn2.module.contract": 0.78 * 3 / 2048,
        f"{block}.attention.module.query_key_value": 0.78 * 3 / 512,
        f"{block}.convolution.module.expand": 0.78 * 3 / 512,
        f"{block}.convolution.module.depthwise": 6 / (32 + 32 * 512),
        "encoder.frontends.0.pairs.1.1": 6 / (64 * 9 + 64 * 9),
        "heads.states.upsampling.convolution": 6 / (3 * 512 + 3 * 512),
        "heads.states.output": 6 / (512 + 50),
        "heads.aux_6.hidden.0": 0.78 * 3 / 512,
        "heads.aux_6.output": 6 / (256 + 50),
    }
    for name, square in bounds.items():
        highest = float(found[f"{name}.weight"].abs().max())
        assert 0.98 * square**0.5 < highest <= square**0.5, name
        assert not found.get(f"{name}.bias", torch.zeros(1)).any(), name
    table = float(found[f"{block}.attention.module.position.table"].abs().max())
    assert 0.98 < table / (0.78 * 3 / 801) ** 0.5 <= 1


def test_parts_of_the_small_model_have_an_l2_loss() -> None:
    with torch.device("meta"):
        model = model_of(experiment_of(SMALL, {"model.encoder.num_layers": 1}, []))
    optimizer = parts_of(SMALL).optimizer(model)
    decays = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    decaying = {name for name, p in model.named_parameters() if decays[id(p)]}
    assert {decays[id(p)] for p in model.parameters()} == {0.0, 1.4e-4}
    of_layers = {name.rpartition(".")[0].removeprefix("encoder.") for name in decaying}
    assert {name for name in of_layers if "frontends" not in name} == {
        "input",
        "blocks.0.ffn1.module.contract",
        "blocks.0.ffn2.module.contract",
        "blocks.0.attention.module.output",
    }
    assert len([name for name in of_layers if "frontends" in name]) == 4


def test_the_model_of_switchboard_gives_all_frames_their_states() -> None:
    changes = {"model.encoder.num_layers": 8}
    model = model_of(experiment_of("switchboard/conf/hybrid.yaml", changes, [])).eval()
    assert isinstance(model, AsrModel)
    with torch.no_grad():
        encoded = model.encode(torch.randint(-99, 99, (1, 1600)), torch.tensor([1600]))
    assert {name: head.tap for name, head in heads_of(model).items()} == {
        "states": None,
        "aux_4": 4,
        "aux_8": 8,
    }
    for head in heads_of(model).values():
        assert head.state_scores(encoded).log_probs.shape == (1, 20, 9001)
        assert head.focal == 2.0


def heads_of(model: AsrModel) -> dict[str, FrameCrossEntropyHead]:
    heads = model.named_heads().items()
    return {name: head for name, head in heads if isinstance(head, FrameCrossEntropyHead)}
