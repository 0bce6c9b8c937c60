"""The generations of the attention model of LibriSpeech have the settings of those they name."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from asrkit.config.build import build
from asrkit.experiment.spec import load_spec, resolve_spec
from asrkit.experiment.train import Stage
from asrkit.text.vocabulary import Vocabulary
from asrkit.training.optimizers import OptimizerFactory
from tests.recipes.facts import dropouts, model_of, stages

FOLDER = Path(__file__).parents[2] / "recipes/librispeech/conf/aed"
STORED: dict[str, dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("aed_facts.yaml").read_text("utf-8")
)
VOCABULARY = Vocabulary([f"{number}" for number in range(50)])


def published() -> dict[str, dict[str, Any]]:
    """Returns all facts of each generation, those of the ones before it among them."""
    found, before = {}, dict[str, Any]()
    for name, facts in STORED.items():
        before = {**before, **facts}
        found[name] = before
    return found


@dataclass(frozen=True)
class Trained:
    """What is known of a generation, its stages, and their models."""

    facts: dict[str, Any]
    stages: list[Stage]
    models: list[Any]

    @property
    def batches(self) -> int:
        """Returns how many an update has."""
        number: int = self.facts["accum_grad_multiple_step"]
        return number


@pytest.fixture(scope="module", params=list(STORED))
def trained(request: pytest.FixtureRequest) -> Trained:
    staged = stages(FOLDER / request.param)
    return Trained(published()[request.param], staged, [model_of(s, VOCABULARY) for s in staged])


def written(tree: dict[str, Any]) -> dict[str, Any]:
    """Returns what a stage trains with, in the units of the public configurations."""
    data, training = tree["data"], tree["training"]
    update, optimizer, limits = training["update"], training["optimizer"], data["limits"]
    batches = update["accumulate"]  # in an update
    tables = optimizer["groups"].get("tables") or {}
    clip = update["max_grad_norm"]
    assert (update["normalize"], update["normalize_over"]) == ("parts", "sum_of_batches")
    assert data["batches"]["order"]["type"] == "chunk_sorted"
    return {
        "num_epochs": training["epochs"],
        "partition_epoch": data["sub_epochs"],
        "speeds": data["speeds"],
        "max_seqs": data["batches"]["max_utterances"],
        "max_seq_length_default_target": limits["max_labels"] + 1,
        "batching": f"laplace:.{data['batches']['order']['size']}",
        "peak_normalization": tree["model"]["features"]["signal_normalization"]["type"] == "peak",
        "batch_size": data["batches"]["max_seconds"] * 100,
        "accum_grad_multiple_step": batches,
        "epsilon": optimizer["eps"],
        "betas": optimizer["betas"],
        "weight_decay": optimizer["weight_decay"],
        "weight_decay_modules_blacklist": tables.get("module_types", []),
        "learning_rate": rate(training["schedule"], batches),
        "torch_amp": {"fp32": None, "bf16": "bfloat16"}[update["precision"]],
        "grad_scaler": update["loss_scale"] is not None,
        "gradient_clip_global_norm": None if clip == inf else clip,
        "torch_distributed": distributed(update["exchange"]),
    }


def written_masks(tree: dict[str, Any]) -> dict[str, Any]:
    """Returns how a stage masks."""
    augment, batches = tree["model"]["augment"], tree["training"]["update"]["accumulate"]
    assert augment["order"] == ["time_masks", "frequency_masks"]
    spatial, feature = (augment[name] for name in augment["order"])
    assert (spatial["frequency"]["max_count"], feature["time"]["max_count"]) == (0, 0)
    time, bands = spatial["time"], feature["frequency"]
    assert (time["min_count"], time["max_count"], bands["min_count"]) == (0, 2, 0)
    assert (bands["per_size"], time["max_share"], bands["max_share"]) == (None, None, None)
    drawn, steps = (
        [[part[key] for key in ("counts", "starts")] for part in (spatial, feature)],
        [[s["from_step"] * batches for s in part["strengths"]] for part in (spatial, feature)],
    )
    assert (drawn[0], steps[0]) == (drawn[1], steps[1])
    most = bands["max_count"]
    return {
        "specaugment_steps": steps[0],
        "specaugment_num_masks": drawn[0],
        "specaugment_num_spatial_mask_factor": time["per_size"],
        "specaugment_max_consecutive_spatial_dims": time["max_width"],
        "specaugment_max_consecutive_feature_dims": bands["max_width"],
        "specaugment_spatial": [[s["add_min"], s["scale_max"]] for s in spatial["strengths"]],
        "specaugment_feature": [
            [s["add_min"], int(most * s["scale_max"])] for s in feature["strengths"]
        ],
    }


def written_model(model: Any) -> dict[str, Any]:
    """Returns losses and dropouts of a model."""
    decoder = model.heads["attention"]
    auxiliary = {name: head for name, head in model.heads.items() if name != "attention"}
    attention = model.encoder.blocks[0].attention.module
    zoneout = decoder.decoder.zoneout
    found = dropouts(model)
    place = "encoder.blocks.attention.module.position.dropout"
    return {
        "aux_loss_layers": [int(name.removeprefix("ctc_")) for name in auxiliary],
        "aux_loss_scales": [head.weight for head in auxiliary.values()],
        "aux_loss_label_smoothing": [head.label_smoothing for head in auxiliary.values()],
        "aed_loss_scale": decoder.weight,
        "aed_label_smoothing": decoder.label_smoothing,
        "zoneout": {
            "zoneout_factor_cell": zoneout.cell,
            "zoneout_factor_output": zoneout.output,
        },
        "pos_emb_dropout": found.pop(place, 0.0),
        "rf_att_dropout_broadcast": attention.share_dropout,
        "dropouts": found,
    }


def distributed(exchange: dict[str, Any]) -> dict[str, Any] | None:
    """Returns how processes are made alike, if they update on their own."""
    if exchange["type"] == "average_gradients":
        return None
    assert (exchange["averaged"], exchange["seconds"]) == ("weights", None)
    return {"reduce_type": "param", "param_sync_step": exchange["steps"]}


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


def test_settings_are_those_of_the_public_configuration(trained: Trained) -> None:
    by_layers = {"num_layers", "pretrain"}
    expected = {key: fact for key, fact in trained.facts.items() if key not in by_layers}
    for stage, model in zip(trained.stages, trained.models, strict=True):
        settings = written(stage.resolved) | written_masks(stage.resolved)
        assert settings | written_model(model) == expected


def test_layers_are_added_and_read_as_in_the_public_configuration(trained: Trained) -> None:
    """While there are fewer, auxiliary losses read the last one instead."""
    facts, last = trained.facts, 0
    for (steps, layers), stage in zip(facts["pretrain"], trained.stages, strict=False):
        last += steps
        assert stage.last_update == last / trained.batches
        assert layers < facts["num_layers"]
    grown = [layers for _, layers in facts["pretrain"]] + [facts["num_layers"]]
    for layers, stage, model in zip(grown, trained.stages, trained.models, strict=True):
        expected = [min(layer, layers) for layer in facts["aux_loss_layers"]]
        assert [model.heads[f"ctc_{layer}"].tap for layer in facts["aux_loss_layers"]] == expected
        assert len(model.encoder.blocks) == layers
        assert model.heads["attention"].tap is None
        assert (stage.last_update is None) == (layers == facts["num_layers"])


def test_the_cosine_is_a_factor_of_the_fourth_generation_s_rate() -> None:
    schedules = [
        resolve_spec(load_spec(FOLDER / name))[1]["training"]["schedule"]
        for name in ("lrcos.yaml", "v4.yaml")
    ]
    assert schedules[0]["schedule"] == schedules[1]
    assert (schedules[0]["period"] * 2, schedules[0]["low"]) == (10_000, 0.0001)


def test_fine_tuning_changes_masks_and_rates_alone() -> None:
    (_, tuned), (_, start) = (
        resolve_spec(load_spec(FOLDER / name)) for name in ("finetuned.yaml", "v3-lr1e_3.yaml")
    )
    assert [(each["run"], each["checkpoint"]) for each in tuned["imports"]] == [
        ("run/v3-lr1e_3", "last")
    ]
    (ramp,) = tuned["training"]["schedule"]["values"]
    assert (ramp["start"], ramp["end"], ramp["epochs"]) == (0.001, 1e-7, 200)
    assert (ramp["start"], tuned["training"]["epochs"]) == (
        start["training"]["schedule"]["peak"],
        200,
    )
    masks = written_masks(tuned)
    assert masks["specaugment_steps"] == [0]
    assert (masks["specaugment_spatial"], masks["specaugment_feature"]) == ([[2, 4]], [[2, 5]])
    assert tuned["training"]["update"] == start["training"]["update"]
    assert tuned["training"]["optimizer"] == start["training"]["optimizer"]
    without = [{**each["model"], "augment": None} for each in (tuned, start)]
    assert without[0] == without[1]


@pytest.mark.parametrize(("path", "decay"), [("../aed.yaml", 1e-6), ("v4.yaml", 0.0)])
def test_biases_of_batch_norm_decay_unless_all_of_it_is_left_out(path: str, decay: float) -> None:
    experiment, tree = resolve_spec(load_spec(FOLDER / path))
    optimizer = build(OptimizerFactory, tree["training"]["optimizer"])
    with torch.device("meta"):
        model = experiment.model(vocabulary=VOCABULARY)
    names = {parameter: each for each, parameter in model.named_parameters()}
    found: dict[bool, set[float]] = {True: set(), False: set()}
    for group in optimizer.sorted_groups(model):
        for one in group["params"]:
            if names[one].endswith("bias"):
                of_batch_norm = ".convolution.module.norm." in names[one]
                found[of_batch_norm].add(group["weight_decay"])
    assert found == {True: {decay}, False: {0.0}}
