"""Every spec under recipes/ is right, and can be built small and trained a little."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asrkit.config.build import build, filled
from asrkit.data.batch import Batch
from asrkit.experiment import Experiment, check, load_spec
from asrkit.experiment.decode_spec import searches_of
from asrkit.experiment.gmm_spec import GmmSpec
from asrkit.models.asr_model import AsrModel
from asrkit.models.heads.lf_mmi import LfMmiHead
from asrkit.models.heads.phone_ctc import PhoneCtcHead
from asrkit.nn.ready_made import ReadyMade
from asrkit.search.search import Search
from asrkit.text.vocabulary import Vocabulary

RECIPES = Path(__file__).parents[1] / "recipes"
OTHERS = {"decode", "gmm", "ablation"}
"""Folders of specs of another kind, and of variants, which are not whole ones."""
SPECS = sorted(p for p in RECIPES.glob("*/conf/**/*.yaml") if not OTHERS & {*p.parts})
MIXTURES = sorted(RECIPES.glob("*/conf/gmm/*.yaml"))
SEARCHES = sorted(RECIPES.glob("*/conf/decode/*.yaml"))


def match_layers(node: dict[str, Any]) -> None:
    """Gives an encoder as many layers as its lists have entries, or one."""
    if "pools" in node and "num_layers" in node:
        node["num_layers"] = len(node["pools"])
    if node.get("type") == "tdnnf":
        node["strides"] = [1]


def shrink(node: Any) -> None:
    """Makes a model's sizes tiny, in place; its parts stay what they are."""
    tiny: dict[str, Any] = {"hidden_dim": 16, "dim": 16, "num_layers": 1, "num_heads": 2}
    tiny |= {"embedding_dim": 16, "attention_dim": 16, "readout_dim": 16}
    tiny |= {"taps": [1], "tap": 1, "states": 13}
    if isinstance(node, dict):
        for key, value in node.items():
            if key in tiny and not isinstance(value, dict):
                node[key] = tiny[key]
            if key == "channels":
                node[key] = [2] * len(value)
            shrink(value)
        match_layers(node)
    elif isinstance(node, list):
        for value in node:
            shrink(value)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: "-".join(path.parts[-3:]))
def test_specs_have_no_problems(path: Path) -> None:
    assert check(path).problems == []


@pytest.mark.parametrize("path", SPECS, ids=lambda path: "-".join(path.parts[-3:]))
def test_models_learn_eight_utterances_by_heart(path: Path) -> None:
    spec = load_spec(path)
    shrink(spec.tree["model"])
    torch.manual_seed(0)
    model = build(Experiment, spec).model(vocabulary=Vocabulary([f"l{i}" for i in range(12)]))
    time = torch.arange(12800) / 16000
    labels = torch.randint(0, 12, (8, 2))
    tones = [torch.sin(6.28 * 300 * (1 + row.float()[:, None]) * time) for row in labels]
    signal = torch.stack([torch.cat([t[0, :6400], t[1, :6400]]) for t in tones])
    batch = Batch(
        [str(i) for i in range(8)],
        (8000 * signal).to(torch.int16),
        torch.full((8,), 12800),
        labels,
        torch.full((8,), 2),
    )
    if isinstance(model, AsrModel) and isinstance(model.features, ReadyMade):
        states = torch.randint(0, 12, (8, 10)).repeat_interleave(8, 1)  # (8, 80)
        if any(isinstance(head, LfMmiHead) for head in model.named_heads().values()):
            states = torch.arange(5).repeat(8, 1).repeat_interleave(16, 1) * 2 + 1  # of five phones
            states[:, ::16] -= 1  # whose first frames have states of their own
        heard = 3 * torch.randn(12, model.features.dim)[states] + torch.randn(8, 80, 1)
        if any(isinstance(head, PhoneCtcHead) for head in model.named_heads().values()):
            states = states[:, ::16]  # which are the phones, (8, 5)
        batch = replace(batch, signal=heard, signal_lengths=torch.full((8,), 80), alignment=states)
    elif isinstance(model, AsrModel) and model.given_targets:
        frames = int(model.target_frames(torch.tensor([12800]))[0])
        alignment = torch.full((8, frames), 12)
        alignment[:, [frames // 4, 3 * frames // 4]] = labels
        batch = replace(batch, alignment=alignment)
    if isinstance(model, AsrModel):
        model.augment = torch.nn.ModuleDict()
        features, lengths = model.features(batch.signal, batch.signal_lengths)
        batch = replace(batch, signal=features.detach(), signal_lengths=lengths)
        model.features = ReadyMade(features.shape[2])  # made once, which saves most of the time
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    losses = []
    for step in range(50):
        torch.manual_seed(step)
        report = model(batch, step)
        parts = [part.weight * part.total / 16 for part in report.values() if part.weight]
        objective = torch.stack(parts).sum()
        optimizer.zero_grad()
        objective.backward()
        optimizer.step()
        losses.append(float(objective.detach()))
    assert losses[-1] < 0.6 * losses[0], losses[::10]


@pytest.mark.parametrize("path", MIXTURES, ids=lambda path: "-".join(path.parts[-4::3]))
def test_specs_of_mixtures_have_no_problems(path: Path) -> None:
    found = build(GmmSpec, load_spec(path))
    assert found.mixtures.projected.states <= found.mixtures.adapted.states


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: "-".join(path.parts[-4::3]))
def test_searches_have_no_problems(path: Path) -> None:
    assert check(path).problems == []
    searches = searches_of(load_spec(path))
    assert searches
    for search in searches.values():
        assert build(Search, search.spec, search.path).entries


@pytest.mark.parametrize(
    "path",
    sorted(RECIPES.glob("*/conf/lm/mini_lstm_ilm*.yaml")),
    ids=lambda path: f"{path.parts[-4]}-{path.stem}",
)
def test_mini_lstms_stand_beside_the_decoder_of_the_run_they_import(path: Path) -> None:
    tree = filled(Experiment, load_spec(path).tree)
    base = path.parents[1] / (Path(tree["imports"][0]["run"]).name + ".yaml")
    model = filled(Experiment, load_spec(base).tree)["model"]
    assert tree["model"]["decoder"]["decoder"] == model["heads"]["attention"]["decoder"]
    assert tree["model"]["decoder"]["frame_dim"] == model["encoder"]["dim"]
    assert tree["training"]["freeze"] == [r"^decoder\.decoder\."]
