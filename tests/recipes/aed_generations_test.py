"""The generations of the attention model of LibriSpeech have the settings of those they name."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from asrkit.config.build import build
from asrkit.experiment.spec import load_spec, resolve_spec
from asrkit.text.vocabulary import Vocabulary
from asrkit.training.optimizers import OptimizerFactory

FOLDER = Path(__file__).parents[2] / "recipes/librispeech/conf/aed"
STORED: dict[str, dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("aed_facts.yaml").read_text("utf-8")
)


def published() -> dict[str, dict[str, Any]]:
    """Returns all facts of each generation, those of the ones before it among them."""
    found, before = {}, dict[str, Any]()
    for name, facts in STORED.items():
        before = {**before, **facts}
        found[name] = before
    return found


def written(name: str) -> dict[str, Any]:
    """Returns what a spec says, in the units of the public configurations."""
    spec = load_spec(FOLDER / name)
    _, tree = resolve_spec(spec)
    model, data, training = tree["model"], tree["data"], tree["training"]
    update, optimizer = training["update"], training["optimizer"]
    batches = update["accumulate"]  # in an update
    masks, tables = model["augment"], optimizer["groups"].get("tables") or {}
    attention = model["encoder"]["blocks"]["attention"]["module"]
    clip = update["max_grad_norm"]
    starts = [each["from_step"] * batches for each in masks["time_masks"]["strengths"]]
    assert starts == [each["from_step"] * batches for each in masks["frequency_masks"]["strengths"]]
    assert (update["normalize"], update["normalize_over"]) == ("parts", "sum_of_batches")
    return {
        "batch_size": data["batches"]["max_seconds"] * 100,
        "accum_grad_multiple_step": batches,
        "specaugment_steps": starts,
        "specaugment_num_spatial_mask_factor": masks["time_masks"]["time"]["per_size"],
        "specaugment_max_consecutive_feature_dims": (
            masks["frequency_masks"]["frequency"]["max_width"]
        ),
        "epsilon": optimizer["eps"],
        "weight_decay": optimizer["weight_decay"],
        "weight_decay_modules_blacklist": tables.get("module_types", []),
        "learning_rate": rate(training["schedule"], batches),
        "torch_amp": {"fp32": None, "bf16": "bfloat16"}[update["precision"]],
        "grad_scaler": update["loss_scale"] is not None,
        "gradient_clip_global_norm": None if clip == inf else clip,
        "pos_emb_dropout": attention["position"]["dropout"],
        "rf_att_dropout_broadcast": attention["share_dropout"],
        "pretrain": [
            [phase["updates"] * batches, phase["changes"]["model.encoder.num_layers"]]
            for phase in spec.tree.get("phases") or []
        ],
    }


def rate(schedule: dict[str, Any], batches: int) -> dict[str, Any]:
    """Returns a schedule whose steps are batches."""
    if schedule["type"] == "piecewise_linear":
        steps, values = zip(*schedule["points"], strict=True)
        return {
            "type": "piecewise_linear",
            "steps": [step * batches for step in steps],
            "values": list(values),
        }
    return {
        "type": schedule["type"],
        "rate": schedule["peak"],
        "warmup": schedule["warmup_steps"] * batches,
        "norm": schedule["norm"] * batches,
    }


@pytest.mark.parametrize("name", STORED)
def test_settings_are_those_of_the_public_configuration(name: str) -> None:
    assert written(name) == published()[name]


def test_the_cosine_is_a_factor_of_the_fourth_generation_s_rate() -> None:
    schedules = [
        resolve_spec(load_spec(FOLDER / name))[1]["training"]["schedule"]
        for name in ("lrcos.yaml", "v4.yaml")
    ]
    assert schedules[0]["schedule"] == schedules[1]
    assert (schedules[0]["period"] * 2, schedules[0]["low"]) == (10_000, 0.0001)


def test_fine_tuning_changes_masks_and_rates_alone() -> None:
    (_, tuned), (_, start) = (
        resolve_spec(load_spec(FOLDER / name)) for name in ("finetuned.yaml", "v3.yaml")
    )
    (ramp,) = tuned["training"]["schedule"]["values"]
    assert (ramp["start"], ramp["end"], ramp["epochs"]) == (0.001, 1e-7, 200)
    assert tuned["training"]["update"] == start["training"]["update"]
    assert tuned["training"]["optimizer"] == start["training"]["optimizer"]
    without = [{**each["model"], "augment": None} for each in (tuned, start)]
    assert without[0] == without[1]


@pytest.mark.parametrize(("path", "decay"), [("../aed.yaml", 1e-6), ("v4.yaml", 0.0)])
def test_biases_of_batch_norm_decay_unless_all_of_it_is_left_out(path: str, decay: float) -> None:
    experiment, tree = resolve_spec(load_spec(FOLDER / path))
    optimizer = build(OptimizerFactory, tree["training"]["optimizer"])
    with torch.device("meta"):
        model = experiment.model(vocabulary=Vocabulary([f"{number}" for number in range(50)]))
    names = {parameter: each for each, parameter in model.named_parameters()}
    found: dict[bool, set[float]] = {True: set(), False: set()}
    for group in optimizer.sorted_groups(model):
        for one in group["params"]:
            if names[one].endswith("bias"):
                of_batch_norm = ".convolution.module.norm." in names[one]
                found[of_batch_norm].add(group["weight_decay"])
    assert found == {True: {decay}, False: {0.0}}
