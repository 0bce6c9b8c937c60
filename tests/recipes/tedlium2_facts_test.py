"""TED-LIUM's attention models are trained as the public configuration says."""

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
from asrkit.training.noise import selected
from asrkit.training.optimizers import Adam
from tests.recipes.facts import decays, dropouts, model_of, parts_of, place_of, stages

CONF = Path(__file__).parents[2] / "recipes" / "tedlium2" / "conf"
FACTS: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parent / "tedlium2_facts.yaml").read_text("utf-8")
)
BATCHES = FACTS["accum_grad_multiple_step"]
VOCABULARY = Vocabulary([f"w{number}" for number in range(1056)])  # and end of sentence
Trained = list[tuple[dict[str, Any], Stage, Any]]
"""What is known of each stage, the stage, and its model."""


@pytest.fixture(scope="module", params=["base.yaml", "aed.yaml"])
def trained(request: pytest.FixtureRequest) -> Trained:
    staged = stages(CONF / request.param)
    models = [model_of(stage, VOCABULARY) for stage in staged]
    return list(zip(FACTS["stages"], staged, models, strict=True))


def shared_out(fact: dict[str, Any], kind: str) -> dict[str, float]:
    """Returns the values of a stage: those of the whole model times those of its two shares."""
    encoder = {place: x * fact["share"] for place, x in FACTS[f"encoder_{kind}"].items()}
    return encoder | {place: x * fact["decoder"] for place, x in FACTS[f"decoder_{kind}"].items()}


def owner(place: str, owners: dict[str, float]) -> float:
    """Returns the value of the one of some layers that a parameter is of, 0 if of none."""
    found = [x for name, x in owners.items() if place == name or place.startswith(f"{name}.")]
    assert len(found) < 2
    return sum(found)


def test_sizes_batches_and_smoothing_of_all_stages(trained: Trained) -> None:
    for fact, stage, model in trained:
        shown = stage.resolved
        assert shown["training"]["epochs"] == fact["until"]
        assert (model.encoder.num_layers, model.encoder.dim) == (fact["layers"], fact["dim"])
        parts = [block[n].module for block in model.encoder.blocks for n in ("ffn1", "ffn2")]
        assert {part.expand.out_features for part in parts} == {fact["ff_dim"]}
        assert shown["data"]["batches"]["max_seconds"] == fact["batch_size"] / 100
        assert model.heads["attention"].label_smoothing == fact["label_smoothing"]


def test_shares_and_sizes_follow_from_the_number_of_layers() -> None:
    """Written after pretrain_layers_and_dims; the first two stages are one here."""
    for index, fact in enumerate(FACTS["stages"][:-1], start=1):
        share = 0.5 + 0.5 * (1.0 - (12 - 2 * index) / (12 - 2))
        assert fact["layers"] == 2 * index
        assert (fact["dim"], fact["ff_dim"]) == (
            int(512 * share / 8) * 8,
            int(2048 * share / 8) * 8,
        )
        assert fact["share"] == pytest.approx(share if index > 1 else 0.0)
        assert fact["decoder"] == float(index > 1)


def test_all_dropouts_of_all_stages(trained: Trained) -> None:
    for fact, _, model in trained:
        expected = {place: p for place, p in shared_out(fact, "dropout").items() if p}
        assert dropouts(model) == pytest.approx(expected, rel=1e-12)


def test_l2_of_every_parameter(trained: Trained) -> None:
    """Weight decay is the gradient of what the losses of all batches of an update have of it."""
    for fact, stage, model in trained:
        factors, found = shared_out(fact, "l2"), decays(stage, model)
        expected = {name: 2 * BATCHES * owner(place_of(name), factors) for name in found}
        assert found == pytest.approx(expected, rel=1e-12)
        places = {place_of(name) for name in found}
        assert all(any(place.startswith(layer) for place in places) for layer in factors)


def test_weight_dropout_of_every_parameter(trained: Trained) -> None:
    for fact, stage, model in trained:
        changes = stage.resolved["training"]["update"]["weight_changes"]
        found = dict.fromkeys((name for name, _ in model.named_parameters()), 0.0)
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        for change in changes.get("order", []):
            for parameter in selected(model, changes[change]["pattern"]):
                found[names[id(parameter)]] += changes[change]["probability"]
        shares = {place: p * fact["share"] for place, p in FACTS["weight_dropout"].items()}
        expected = {name: owner(place_of(name), shares) for name in found}
        assert found == pytest.approx(expected, rel=1e-12)


def test_rates_of_all_epochs(trained: Trained) -> None:
    expected = np.concatenate([np.linspace(*piece) for piece in FACTS["learning_rates"]])
    for _, stage, _ in trained:
        schedule = parts_of(stage).schedule
        rates = [schedule.lr(1, epoch) for epoch in range(1, 401)]
        np.testing.assert_allclose(rates, expected, rtol=1e-9)


def test_losses_updates_masks_peaks_and_choice_of_checkpoints(trained: Trained) -> None:
    for _, stage, model in trained:
        training, data = stage.resolved["training"], stage.resolved["data"]
        update = training["update"]
        assert (update["accumulate"], update["normalize"]) == (BATCHES, "sum")
        assert update["normalize_over"] == "update"
        assert update["max_grad_norm"] == math.inf
        assert training["optimizer"]["type"] == "adam"
        assert training["optimizer"]["eps"] == FACTS["adam"]["optimizer_epsilon"]
        assert training["judged_by"] == "attention.loss"
        assert training["checkpoints"]["keep_best"] == FACTS["keep_best_n"]
        peak = stage.resolved["model"]["features"]["signal_normalization"]["type"] == "peak"
        assert peak == FACTS["peak_normalization"]
        assert data["batches"]["max_utterances"] == FACTS["max_seqs"]
        assert data["sub_epochs"] == FACTS["partition_epoch"]
        weights = {name: head.weight for name, head in model.heads.items()}
        assert weights == {"ctc": FACTS["ctc_loss_scale"], "attention": FACTS["ce_loss_scale"]}
        augment = stage.resolved["model"]["augment"]
        for name in augment["order"]:
            steps = [each["from_step"] * BATCHES for each in augment[name]["strengths"]]
            assert steps == [0, *FACTS["specaugment_steps"]]
            assert [augment[name][key] for key in ("counts", "starts")] == FACTS[
                "specaugment_masks"
            ]


def test_weight_decay_of_adam_is_l2_in_the_losses_of_two_batches() -> None:
    """Two sums of losses, each with 0.0001 times the squares, against their gradient by hand."""
    torch.manual_seed(0)
    first, second = torch.randn(2, 3, 4, dtype=torch.float64)
    ours, theirs = (nn.Linear(4, 1, bias=False).double() for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    plain = Adam().make([{"params": [*theirs.parameters()]}])
    decayed = Adam().make([{"params": [*ours.parameters()], "weight_decay": 0.0004}])
    for _ in range(3):
        for batch in (first, second):
            ours(batch).square().sum().backward()
            loss = theirs(batch).square().sum()
            (loss + 0.0001 * theirs.weight.square().sum()).backward()
        for optimizer in (plain, decayed):
            optimizer.param_groups[0]["lr"] = 0.1
            optimizer.step()
            optimizer.zero_grad()
        torch.testing.assert_close(ours.weight, theirs.weight)


def test_masks_are_shared_except_for_label_embeddings_and_attention() -> None:
    model = model_of(stages(CONF / "aed.yaml")[-1], VOCABULARY)
    alone = "heads.attention.decoder.embedding_dropout"
    for name, module in model.named_modules():
        if isinstance(module, Dropout) and module.shareable:
            expected = frozenset() if name == alone else frozenset({"batch", "time"})
            assert module.shared == expected, name
    assert isinstance(model.get_submodule(alone), Dropout)


def test_first_weights_of_attention_are_smaller() -> None:
    tree = load_spec(CONF / "aed.yaml").tree
    tree["model"]["encoder"]["num_layers"] = 1
    tree["model"]["heads"] = {"ctc": {"type": "ctc", "weight": 1.0}}
    tree["model"]["dropout_masks"] = []
    kinds = tree["model"]["initialization"]["glorot"]
    kinds["module_types"] = [k for k in kinds["module_types"] if k not in ("Embedding", "LSTMCell")]
    tree["training"]["optimizer"] = {"type": "adam"}
    tree["training"]["judged_by"] = None
    tree["phases"], tree["decoding"] = [], {}
    torch.manual_seed(0)
    model: Any = resolve_spec(Spec(tree))[0].model(vocabulary=VOCABULARY)
    attention = model.encoder.blocks[0]["attention"].module
    for weight, scale in (
        (attention.query_key_value.weight, FACTS["mhsa_init_scale"]),
        (attention.output.weight, 1.0),
    ):
        bound = math.sqrt(3 * scale / (sum(weight.shape) / 2))
        assert 0.999 * bound < float(weight.detach().abs().max()) <= bound
