"""Heads and models of users' own: verbs ask them, and know no class of theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from click.testing import CliRunner, Result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from asrkit.cli import main
from asrkit.data.manifests import Source, write_manifest
from asrkit.text.tokenizers import train_tokenizer

HEADS = '''
"""Two heads and two models."""

import torch

from asrkit.models.heads.ctc import CtcHead
from asrkit.models.interfaces import (
    Encoded, Encoder, Head, LossPart, Pictures, TrainableModel, heads, models
)
from asrkit.models.kinds import SpeechModel
from asrkit.nn.features import Features
from asrkit.plotting import new_figure
from asrkit.text.outputs import Outputs


@heads.register("energy")
class Energy(Head):
    """How loud it is.

    Args:
        encoder: Whose frames are read.
        vocabulary: The labels.
        weight: Of the loss.
    """

    def __init__(self, encoder, vocabulary, weight: float = 1.0) -> None:
        super().__init__()
        self.outputs = Outputs.labels_with_blank(vocabulary)
        self.weight = weight
        self.output = torch.nn.Linear(encoder.dim, 1)

    def loss(self, encoded, batch):
        losses = self.output(encoded.frames).square().mean((1, 2))
        return {"loss": LossPart(losses.sum(), len(batch), self.weight)}


@heads.register("shown_energy")
class ShownEnergy(Energy):
    """How loud it is, with pictures; needs 40 frames per label.

    Args:
        encoder: Whose frames are read.
        vocabulary: The labels.
        weight: Of the loss.
    """

    def pictures(self, encoded, batch):
        figure = new_figure(2, 1)
        figure.add_subplot().plot(self.output(encoded.frames)[0].cpu().numpy())
        return Pictures(recognised=[[0]] * len(batch), figure=figure)

    def min_frames(self, labels):
        return 40 * len(labels)


@models.register("loudness")
class Loudness(TrainableModel):
    """A model without encoder and heads.

    Args:
        vocabulary: The labels.
    """

    def __init__(self, vocabulary) -> None:
        super().__init__()
        self.scale = torch.nn.Linear(1, 1)

    def forward(self, batch, step=0):
        means = batch.signal.float().abs().mean(1, keepdim=True) / 1000
        losses = self.scale(means).square().sum(1)
        return {"loss": LossPart(losses.sum(), len(batch), 1.0, losses.detach())}


class Frames(Encoder):
    num_layers, taps = 1, []

    def __init__(self, input_dim, dim) -> None:
        super().__init__()
        self.dim, self.layer = dim, torch.nn.Linear(input_dim, dim)

    def output_lengths(self, lengths):
        return lengths

    def forward(self, features, lengths):
        return Encoded(self.layer(features).tanh(), lengths)


@models.register("linear")
class Linear(SpeechModel):
    """One linear layer and CTC.

    Args:
        vocabulary: The labels.
        features: Computes features from samples.
    """

    def __init__(self, vocabulary, features: Features) -> None:
        super().__init__()
        self.vocabulary, self.features = vocabulary, features
        self.encoder = Frames(features.dim, 4)
        self.head = CtcHead(self.encoder, vocabulary, weight=1.0)

    def forward(self, batch, step=0):
        return self.head.loss(self.encode(batch.signal, batch.signal_lengths), batch)

    def encode(self, signal, lengths):
        return self.encoder(*self.features(signal, lengths))

    def named_heads(self):
        return {"mine": self.head}

    def output_frames(self, num_samples):
        return self.features.num_frames(num_samples)
'''
SPEC: dict[str, Any] = {
    "plugins": ["my_heads"],
    "text": "characters",
    "data": {"train": ["train"], "dev": ["dev"], "batches": {"max_seconds": 4.0}, "num_workers": 0},
    "model": {
        "features": {"type": "log_mel", "num_mels": 8},
        "encoder": {"type": "blstm", "hidden_dim": 4, "num_layers": 1},
        "heads": {"plain": {"type": "energy"}, "shown": {"type": "shown_energy"}},
    },
    "training": {
        "epochs": 1,
        "optimizer": "adamw",
        "schedule": {"type": "constant", "value": 1e-3},
    },
    "decoding": {"greedy": {"type": "ctc_greedy", "scorers": {"plain": 1.0}}},
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with spec, plugin, and data/."""
    (tmp_path / "my_heads.py").write_text(HEADS)
    random = np.random.default_rng(0)
    for name, texts in (("train", ["AB", "B", "AB"]), ("dev", ["A"])):
        sources = []
        for number, text in enumerate(texts):
            path = tmp_path / f"{name}-{number}.wav"
            # The third one is of 60 frames; one head needs 80 for its labels.
            count = 9600 if number == 2 else 16000
            samples = random.integers(-3000, 3000, count).astype(np.int16)
            soundfile.write(path, samples, 16000)
            sources.append(Source(path.stem, path, text, "s"))
        write_manifest(tmp_path / "data", name, sources)
    train_tokenizer("characters", ["AB"], None, tmp_path / "data" / "text", "characters")
    return tmp_path


def asrkit(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def spec_of(place: Path, **changes: Any) -> Path:
    path = place / "spec.yaml"
    path.write_text(yaml.safe_dump(SPEC | changes))
    return path


def test_a_head_of_ones_own_is_checked_trained_and_shown(place: Path) -> None:
    data, run = place / "data", place / "run"
    searched = asrkit("check", spec_of(place))
    assert searched.exit_code == 2
    said = " ".join(searched.output.split())
    assert "decoding.greedy: scorer 'plain' of a ctc_greedy search: the model's Energy" in said
    assert "scores nothing, not frames; expected a CTC head" in said
    spec = spec_of(place, decoding={})
    checked = asrkit("check", spec, "--data", data)
    assert checked.exit_code == 0, checked.output
    assert "1 x too few frames, such as train-2: labels need 80 frames, but there are 60" in (
        " ".join(checked.output.split())
    )
    trained = asrkit("train", spec, "--data", data, "--run", run)
    assert trained.exit_code == 0, trained.output
    assert [row.split("\t")[:2] for row in (run / "left_out.tsv").read_text().splitlines()] == [
        ["train-2", "too few frames"]
    ]
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert events.Tags()["images"] == ["dev/shown"]
    assert events.Tags()["tensors"] == ["dev/shown/text_summary"]
    table = events.Tensors("dev/shown/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| dev-0 | A | A |" in table
    decode = ("decode", "--run", run, "--data", data, "--set", "dev", "--checkpoint", "last")
    (place / "greedy.yaml").write_text(yaml.safe_dump({"decoding": SPEC["decoding"]}))
    refused = asrkit(*decode, "--search", "greedy", "--spec", place / "greedy.yaml")
    assert refused.exit_code == 2
    assert "Energy scores nothing, not frames" in " ".join(refused.output.split())


def test_a_model_of_ones_own_needs_its_loss_only(place: Path) -> None:
    spec = spec_of(place, model={"type": "loudness"}, decoding={})
    data, run = place / "data", place / "run"
    checked = asrkit("check", spec, "--data", data)
    assert checked.exit_code == 0, checked.output
    assert "3 of 3 utterances can be used" in " ".join(checked.output.split())
    trained = asrkit("train", spec, "--data", data, "--run", run)
    assert trained.exit_code == 0, trained.output
    entry = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    assert entry["dev"]["loss"] > 0
    assert asrkit("show", spec).exit_code == 0
    on_dev = ("--run", run, "--data", data, "--set", "dev", "--checkpoint", "last")
    for words in (("decode", *on_dev, "--search", "x"), ("align", *on_dev), ("prior", *on_dev)):
        refused = asrkit(*words)
        assert refused.exit_code == 2, refused.output
        assert "Loudness" in refused.output
    searched = asrkit("check", spec_of(place, model={"type": "loudness"}))
    assert searched.exit_code == 2
    said = " ".join(searched.output.split())
    assert "decoding.greedy: the model has no head 'plain'; it has none" in said


def test_a_speech_model_of_ones_own_is_decoded_aligned_and_shown(place: Path) -> None:
    model = {"type": "linear", "features": {"type": "log_mel", "normalization": "global"}}
    searches = {"greedy": {"type": "ctc_greedy", "scorers": {"mine": 1.0}}}
    spec = spec_of(place, model=model, decoding=searches)
    data, run = place / "data", place / "run"
    checked = asrkit("check", spec, "--data", data)
    assert checked.exit_code == 0, checked.output
    trained = asrkit("train", spec, "--data", data, "--run", run)
    assert trained.exit_code == 0, trained.output
    assert (run / "statistics.safetensors").is_file()
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert events.Tags()["tensors"] == ["dev/mine/text_summary"]
    on_dev = ("--run", run, "--data", data, "--set", "dev", "--checkpoint", "last")
    for words in (
        ("decode", *on_dev, "--search", "greedy"),
        ("align", *on_dev, "--head", "mine"),
        ("prior", *on_dev, "--head", "mine"),
    ):
        result = asrkit(*words)
        assert result.exit_code == 0, result.output
    wrong = asrkit("perplexity", *on_dev)
    assert wrong.exit_code == 2
    assert "is the run of a Linear, not of a language model" in " ".join(wrong.output.split())


def test_a_model_that_hears_is_not_trained_on_text(place: Path) -> None:
    text = {"type": "text", "train": ["train"], "dev": ["dev"]}
    refused = asrkit("check", spec_of(place, data=text))
    assert refused.exit_code == 2
    assert "has no audio, which this model needs" in " ".join(refused.output.split())
