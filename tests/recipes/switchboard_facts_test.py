"""Switchboard's transducers have the decay, rates, sizes and dropouts of public configurations."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from asrkit.config.yaml_loader import Spec
from asrkit.experiment import load_spec
from asrkit.experiment.spec import resolve_spec
from asrkit.experiment.train import Stage
from asrkit.nn.dropout import Dropout
from asrkit.text.vocabulary import Vocabulary
from tests.recipes.facts import decays, dropouts, model_of, parts_of, stages

CONF = Path(__file__).parents[2] / "recipes" / "switchboard" / "conf"
FACTS = yaml.safe_load((Path(__file__).parent / "switchboard_facts.yaml").read_text("utf-8"))
SHARES = {192: 0.5, 228: 0.6, 306: 0.8}
"""Of what grows, by the width of an encoder that does."""
KEYS = "counts", "starts"
VOCABULARY = Vocabulary([f"w{number}" for number in range(1030)])
Facts = dict[str, Any]


def expected_dropouts(facts: Facts, stage: Facts) -> dict[str, float]:
    shares = stage.get("shares", {})
    same = {place: p * shares.get(place, 1.0) for place, p in facts["dropouts"].items()}
    share = SHARES.get(stage["dim"], 1.0)
    return same | {place: p * share for place, p in facts.get("grows", {}).items()}


@pytest.fixture(scope="module", params=list(FACTS))
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def facts(name: str) -> Facts:
    known: Facts = FACTS[name]
    return known


@pytest.fixture(scope="module")
def staged(name: str) -> list[Stage]:
    return stages(CONF / name)


@pytest.fixture(scope="module")
def models(staged: list[Stage]) -> list[nn.Module]:
    return [model_of(stage, VOCABULARY) for stage in staged]


def test_every_transducer_has_facts() -> None:
    assert {path.name for path in CONF.glob("*rna*.yaml")} == set(FACTS)


def test_sizes_and_batches_of_all_stages(
    facts: Facts, staged: list[Stage], models: list[nn.Module]
) -> None:
    assert len(staged) == len(facts["stages"])
    for fact, stage, model in zip(facts["stages"], staged, models, strict=True):
        shown = stage.resolved
        encoder: Any = model.encoder
        assert shown["training"]["epochs"] == fact["until"]
        assert (encoder.num_layers, encoder.dim) == (fact["layers"], fact["dim"])
        if "hidden" in fact:
            widths = {
                b[n].module.expand.out_features for b in encoder.blocks for n in ("ffn1", "ffn2")
            }
            assert widths == {fact["hidden"]}
        assert shown["data"]["batches"]["max_seconds"] == fact["frames"] / 100
        heads = shown["model"]["heads"]
        taps = [tap for tap in facts.get("auxiliary", []) if tap <= fact["layers"]]
        assert sorted(h["tap"] for h in heads.values() if h["type"] == "ctc" and h["tap"]) == taps


def test_all_dropouts_of_all_stages(facts: Facts, models: list[nn.Module]) -> None:
    for fact, model in zip(facts["stages"], models, strict=True):
        assert dropouts(model) == pytest.approx(expected_dropouts(facts, fact), rel=1e-12)


def test_parameters_are_those_of_the_public_configuration() -> None:
    model = model_of(stages(CONF / "rna-orig.yaml")[-1], VOCABULARY)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == FACTS["rna-orig.yaml"]["parameters"]


def test_biases_are_those_of_the_public_configurations(
    facts: Facts, models: list[nn.Module]
) -> None:
    for model in models:
        names = {name for name, _ in model.named_parameters()}
        assert any("bias_ih" in name for name in names)
        assert not any("bias_hh" in name for name in names)
        for part, expected in facts["biases"].items():
            assert f"{part}.weight" in names
            assert bool({f"{part}.bias", f"{part}_bias.bias"} & names) == expected, part


def test_dropout_has_one_mask_for_all_frames_and_utterances(models: list[nn.Module]) -> None:
    """But not where attention is dropped, nor in the joiner, which has a mask of its own kind."""
    every = [m for m in models[-1].modules() if isinstance(m, Dropout) and m.shareable]
    assert {m.shared for m in every} == {frozenset({"batch", "time"})}


def test_weight_decay_of_every_parameter(
    facts: Facts, staged: list[Stage], models: list[nn.Module]
) -> None:
    for stage, model in zip(staged, models, strict=True):
        found = decays(stage, model)
        begins = tuple(f"{name}." for name in facts["decay"])
        decay = 0.0002 * facts["accumulate"]
        expected = {name: decay * name.startswith(begins) for name in found}
        assert found == pytest.approx(expected)
        assert all(any(name.startswith(begin) for name in found) for begin in begins)
        assert set(facts["decay"].values()) == {0.0002}


def test_first_rates_and_what_follows_them(facts: Facts, staged: list[Stage]) -> None:
    expected = np.concatenate([np.linspace(*piece) for piece in facts["rates"]])
    for stage in staged:
        schedule, given = parts_of(stage).schedule, stage.resolved["training"]["schedule"]
        rates = []
        for epoch in range(1, len(expected) + 2):
            rates.append(schedule.lr(1, epoch))
            schedule.observe(epoch, 0.9**epoch)  # so much better that the rate may stay
        np.testing.assert_allclose(rates, [*expected, expected[-1]], rtol=1e-9)
        assert {key: given[key] for key in facts["newbob"]} == facts["newbob"]


def test_updates_optimiser_and_reload(facts: Facts, staged: list[Stage]) -> None:
    for stage in staged:
        training = stage.resolved["training"]
        optimizer = training["optimizer"]
        assert {key: optimizer[key] for key in facts["optimizer"]} == facts["optimizer"]
        update = training["update"]
        assert (update["accumulate"], update["normalize"]) == (facts["accumulate"], "sum")
        assert training["checkpoints"]["reload_best"] == facts["reload_best"]


def test_norms_masks_first_weights_and_smoothing(facts: Facts, staged: list[Stage]) -> None:
    for stage in staged:
        model = stage.resolved["model"]
        augments = model["augment"]
        counts = [[augments[name][key] for key in KEYS] for name in augments["order"]]
        assert counts == [facts["masks"]] * len(counts)
        batches = stage.resolved["training"]["update"]["accumulate"]
        for name in augments["order"]:
            _, *later = [each["from_step"] * batches for each in augments[name]["strengths"]]
            assert later == pytest.approx(facts["stronger"], abs=batches / 2)
        blank = model["heads"]["transducer"]["joiner"]["blank"]
        assert blank["label_smoothing"] == facts["label_smoothing"]
        if "norm" in facts:
            assert model["encoder"]["blocks"]["convolution"]["module"]["norm"] == facts["norm"]


@pytest.mark.parametrize("name", [name for name, facts in FACTS.items() if "norm" in facts])
def test_first_weights_of_attention_are_drawn_like_those_of_one_matrix(name: str) -> None:
    tree = load_spec(CONF / name).tree
    tree["model"]["encoder"] |= {"num_layers": 1, "taps": []}
    tree["model"]["heads"] = {"ctc": {"type": "ctc", "weight": 1.0}}
    tree["model"]["initialization"]["glorot"]["module_types"] = ["Linear"]
    tree["phases"], tree["training"]["optimizer"]["groups"] = [], []
    tree["decoding"] = {}
    torch.manual_seed(0)
    model: Any = resolve_spec(Spec(tree))[0].model(vocabulary=VOCABULARY)
    weights = model.encoder.blocks[0]["attention"].module.query_key_value.weight
    # VarianceScaling with the average of 384 inputs and 1152 outputs
    bound = math.sqrt(3 * FACTS[name]["attention_scale"] / 768)
    assert 0.999 * bound < float(weights.detach().abs().max()) <= bound


def test_beams_are_recombined_in_the_older_configurations_alone() -> None:
    for name in FACTS:
        search = load_spec(CONF / name).tree["decoding"]["transducer"]
        expected = "sum" if name in ("rna-orig.yaml", "rna-stage2.yaml") else "none"
        assert (search["beam_size"], search["recombination"]) == (12, expected)
