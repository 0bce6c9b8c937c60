"""A head of users' own whose outputs are no labels: aligned, trained on, with a prior."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from asrkit.cli import main
from asrkit.data.alignments import read_alignments
from asrkit.data.frame_targets import FrameTargets
from asrkit.data.manifests import Source, write_manifest
from asrkit.errors import UserError
from asrkit.experiment.prior import read_prior
from asrkit.text.outputs import Outputs
from asrkit.text.tokenizers import train_tokenizer
from asrkit.text.vocabulary import Vocabulary
from asrkit.training.checkpoints import resolve

HEAD = '''
"""A head of two states for each label, at the rate of the features."""

import torch

from asrkit.data.frame_targets import FrameTargets
from asrkit.lattice.viterbi import Alignment
from asrkit.losses.cross_entropy import cross_entropy, label_errors
from asrkit.models.interfaces import Head, LossPart, heads
from asrkit.text.outputs import Outputs


@heads.register("states")
class States(Head):
    """Scores states of every feature frame; trained on given ones, or on equal shares of time.

    Args:
        encoder: Whose frames are read; each is three feature frames.
        vocabulary: The labels.
        weight: Of the loss.
        given: Whether states are given.
    """

    def __init__(self, encoder, vocabulary, weight: float = 1.0, given: bool = False) -> None:
        super().__init__()
        self.outputs = Outputs.classes([f"{s}.{n}" for s in vocabulary.symbols for n in (0, 1)])
        self.aligned_targets = FrameTargets(self.outputs, rate="features")
        self.given_targets = self.aligned_targets if given else None
        self.weight = weight
        self.output = torch.nn.Linear(encoder.dim, 3 * len(self.outputs))

    def log_posteriors(self, encoded):
        scores = self.output(encoded.frames).unflatten(2, (3, -1)).flatten(1, 2)
        frames = int(encoded.feature_lengths.max())
        return scores[:, :frames].log_softmax(2), encoded.feature_lengths

    def align(self, encoded, labels, label_lengths):
        scores, lengths = self.log_posteriors(encoded)
        states = torch.stack([2 * labels, 2 * labels + 1], 2).flatten(1)
        places = torch.arange(scores.shape[1])
        shares = (places * 2 * label_lengths[:, None]).div(lengths[:, None], rounding_mode="floor")
        shares = shares.clamp(max=states.shape[1] - 1)
        inside = places < lengths[:, None]
        symbols = states.gather(1, shares).masked_fill(~inside, -1)
        found = scores.gather(2, symbols.clamp(min=0)[..., None])[..., 0]
        known = torch.arange(labels.shape[1]) < label_lengths[:, None]
        numbers = (shares // 2).masked_fill(~inside, -1)
        counts = torch.stack([(numbers == u).sum(1) for u in range(labels.shape[1])], 1)
        ends = counts.cumsum(1).masked_fill(~known, -1)
        begins = (ends - counts).masked_fill(~known, -1)
        return Alignment((found * inside).sum(1), symbols, begins, ends)

    def loss(self, encoded, batch):
        targets = batch.alignment
        if self.given_targets is None:
            targets = self.align(encoded, batch.labels, batch.label_lengths).symbols
        scores, lengths = self.log_posteriors(encoded)
        mask = targets >= 0
        assert mask.sum(1).equal(lengths), "one state for each feature frame"
        losses = cross_entropy(scores, targets.clamp(min=0), mask)
        errors = label_errors(scores, targets.clamp(min=0), mask).float()
        count = int(mask.sum())
        return {
            "loss": LossPart(losses.sum(), count, self.weight, losses.detach()),
            "errors": LossPart(errors, count, weight=0.0),
        }
'''
FIRST = """
plugins: [my_states]
text: characters
data: {train: [train], dev: [train], batch_seconds: 2.0, num_workers: 0, num_buckets: 1}
model:
  features: {type: log_mel, num_mels: 12}
  encoder: {type: blstm, hidden_dim: 16, num_layers: 1, pools: [3], dropout: 0.0}
  heads: {states: {type: states}}
training: {epochs: 1, optimizer: adamw, schedule: {type: constant, value: 0.02}}
"""
SECOND = """
extends: first.yaml
data: {alignments: RUN}
model: {heads: {states: {given: true}}, training_chunks: {size: 40, step: 20}}
training: {epochs: 12}
"""
TONES = {"A": 500, "B": 1500}
STATES = Outputs.classes(["A.0", "A.1", "B.0", "B.1"])


def asrkit(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def done(*words: object) -> Result:
    result = asrkit(*words)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with specs, plugin, data/ and an aligned run first/; the head is forgotten after."""
    folder = tmp_path_factory.mktemp("states")
    (folder / "my_states.py").write_text(HEAD)
    (folder / "first.yaml").write_text(FIRST)
    (folder / "second.yaml").write_text(SECOND.replace("RUN", f"{folder}/first"))
    sources = []
    for number, text in enumerate(["AB", "BA", "A", "B"]):
        time = np.arange(6000 + 130 * number) / 16000
        samples = np.concatenate([np.sin(6.2832 * TONES[c] * time) for c in text])
        soundfile.write(folder / f"{number}.wav", samples / 3, 16000)
        sources.append(Source(f"u{number}", folder / f"{number}.wav", text, "s"))
    write_manifest(folder / "data", "train", sources)
    train_tokenizer("characters", ["AB"], None, folder / "data" / "text", "characters")
    options = ("--data", folder / "data", "--run", folder / "first")
    done("train", folder / "first.yaml", *options)
    done("align", *options, "--set", "train", "--head", "states", "--checkpoint", "last")
    return folder


def test_frames_have_states_at_the_rate_of_the_features(place: Path) -> None:
    targets = FrameTargets(STATES, rate="features")
    found = read_alignments([place / "first" / "align" / "train.safetensors"], targets)
    samples = 6000 + 130 * 2
    assert len(found.of("u2", 1.0)) == samples // 160
    assert list(dict.fromkeys(found.of("u0", 1.0).tolist())) == [0, 1, 2, 3]
    times = (place / "first" / "align" / "train.ctm").read_text().splitlines()
    assert times[0] == "u0 1 0.000 0.380 A"
    assert times[1] == "u0 1 0.380 0.370 B"


def test_a_second_run_learns_states_in_chunks_and_has_a_prior(place: Path) -> None:
    options = ("--data", place / "data", "--run", place / "second")
    done("check", place / "second.yaml", "--data", place / "data")
    done("train", place / "second.yaml", *options)
    assert (place / "second" / "left_out.tsv").read_text() == ""
    last = json.loads((place / "second" / "log.jsonl").read_text().splitlines()[-1])
    assert last["dev"]["states.errors"] < 0.5 < 0.75  # of four states
    done("prior", *options, "--set", "train", "--head", "states", "--checkpoint", "last")
    path, weights = place / "second" / "prior" / "states.json", resolve(place / "second", "last")
    prior = read_prior(path, weights, STATES).exp()
    assert len(prior) == 4
    assert float(prior.min()) > 0.05
    labels = Outputs.labels_with_blank(Vocabulary(["A", "B"]))
    with pytest.raises(UserError, match="prior of 4 classes, the head has 2 labels and <blank>"):
        read_prior(path, weights, labels)


def test_heads_of_other_outputs_are_refused(place: Path) -> None:
    options = ("--data", place / "data", "--run", place / "no")
    joiner = "{type: transducer, topology: rna, readout_dim: 8, weight: 1.0, criterion: alignment"
    head = joiner + ", predictor: {type: stateless, dim: 4}}"
    changes = "model.heads.states=null", f"model.heads.rna={head}", "model.training_chunks=null"
    alone = asrkit("train", place / "second.yaml", *options, *changes)
    assert alone.exit_code == 2
    said = " ".join(alone.output.split())
    assert "trained on 2 labels and <blank>, one for each encoder frame" in said
    assert "the alignments hold 4 classes, one for each feature frame" in said
    both = asrkit("check", place / "second.yaml", f"model.heads.rna={head}")
    assert "need alignments of different topologies or outputs" in both.output
    mixed = asrkit("check", place / "second.yaml", "model.heads.ctc={type: ctc, weight: 1.0}")
    assert "don't tell the labels of a chunk, which heads.ctc is trained on" in (
        " ".join(mixed.output.split())
    )
