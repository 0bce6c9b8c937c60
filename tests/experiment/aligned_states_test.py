"""Training on given states of an HMM, which the run then keeps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner, Result

from asrkit.cli import main
from asrkit.data.alignments import Alignments, read_alignments
from asrkit.data.feature_sets import write_feature_set
from asrkit.data.frame_targets import FrameTargets
from asrkit.data.manifests import Source, open_set, write_manifest
from asrkit.experiment.prior import read_prior
from asrkit.hmm.graphs import transitions_of
from asrkit.hmm.hmm_folder import Hmm, digest_of
from asrkit.hmm.lexicon import Lexicon, Pronunciation
from asrkit.hmm.topology import HmmTopology, Phones
from asrkit.hmm.tree import monophone_tree
from asrkit.run_folder import RunFolder
from asrkit.text.outputs import Outputs
from asrkit.text.tokenizers import train_tokenizer
from asrkit.training.checkpoints import resolve

HEAD = '''
"""A head of tied states: two of a phone, one of silence and of noise; and some that none uses."""

import torch

from asrkit.data.frame_targets import FrameTargets
from asrkit.losses.cross_entropy import cross_entropy, label_errors
from asrkit.models.interfaces import Head, LossPart, heads
from asrkit.scorers.interfaces import FrameScores
from asrkit.text.outputs import Outputs


@heads.register("my_states")
class States(Head):
    """Scores states of every feature frame.

    Args:
        encoder: Whose frames are read.
        vocabulary: The labels.
        states: How many there are.
    """

    def __init__(self, encoder, vocabulary, states: int) -> None:
        super().__init__()
        self.outputs = Outputs.states(states)
        self.given_targets = FrameTargets(self.outputs, rate="features")
        self.output = torch.nn.Linear(encoder.dim, states)

    def state_scores(self, encoded):
        return FrameScores(self.output(encoded.frames).log_softmax(2), encoded.lengths)

    def loss(self, encoded, batch):
        scores = self.state_scores(encoded).log_probs
        targets = batch.alignment
        mask = targets >= 0
        losses = cross_entropy(scores, targets.clamp(min=0), mask)
        errors = label_errors(scores, targets.clamp(min=0), mask).float()
        count = int(mask.sum())
        return {
            "loss": LossPart(losses.sum(), count, 1.0, losses.detach()),
            "errors": LossPart(errors, count, weight=0.0),
        }
'''
SPEC = """
plugins: [my_tied_states]
text: characters
data:
  {train: [train], dev: [train], speeds: [0.9, 1.0], batches: {max_seconds: 2.0, num_buckets: 1},
   num_workers: 0, alignments: GMM}
model:
  features: {type: log_mel, num_mels: 12}
  encoder: {type: blstm, hidden_dim: 16, num_layers: 1, dropout: 0.0}
  heads: {states: {type: my_states, states: 9}}
  training_chunks: {size: 40, step: 20}
training: {epochs: 12, optimizer: adamw, schedule: {type: constant, value: 0.02}}
"""
TONES = {"A": 500, "B": 1500}
TOPOLOGY = HmmTopology(2, 1)
TREE = monophone_tree(Phones(["A", "B"]), TOPOLOGY)
LEXICON = Lexicon({word: [Pronunciation(tuple(word))] for word in ("AB", "BA", "A", "B")})
TARGETS = FrameTargets(Outputs.states(TREE.num_states), rate="features")


def asrkit(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def done(*words: object) -> Result:
    result = asrkit(*words)
    assert result.exit_code == 0, result.output
    return result


def states_of(text: str, frames: int) -> list[int]:
    """Returns the states of frames in which every letter and each of its states is as long."""
    states = [int(TREE.roots[TREE.phones.ids[letter], n]) for letter in text for n in (0, 1)]
    return [states[frame * len(states) // frames] for frame in range(frames)]


def write_aligned(gmm: Path, name: str, sizes: dict[str, int], hmm: Hmm) -> None:
    """Writes the alignments of utterances that are called by their texts."""
    hmm.write(gmm / "hmm")
    found = Alignments(TARGETS, tree=digest_of(gmm / "hmm"))
    for utterance, frames in sizes.items():
        found.add(utterance, 1.0, states_of(utterance.split("-")[-1], frames))
    found.write(RunFolder(gmm).frames(name))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec, data/, gmm/ with an HMM and alignments, and a trained run/."""
    folder = tmp_path_factory.mktemp("tied")
    (folder / "my_tied_states.py").write_text(HEAD)
    (folder / "spec.yaml").write_text(SPEC.replace("GMM", f"{folder}/gmm"))
    sources, samples = [], {}
    for number, text in enumerate(LEXICON):
        time = np.arange(6000 + 130 * number) / 16000
        signal = np.concatenate([np.sin(6.2832 * TONES[c] * time) for c in text])
        soundfile.write(folder / f"{text}.wav", signal / 3, 16000)
        sources.append(Source(text, folder / f"{text}.wav", text, "s"))
        samples[text] = len(signal)
    write_manifest(folder / "data", "train", sources)
    train_tokenizer("characters", ["AB"], None, folder / "data" / "text", "characters")
    hmm = Hmm(TREE, TOPOLOGY, transitions_of(TOPOLOGY, TREE), LEXICON)
    plain = {text: size // 160 for text, size in samples.items()}
    write_aligned(folder / "gmm", "train", plain, hmm)
    slow = {f"sp0.9-{text}": round(size / 0.9) // 160 for text, size in samples.items()}
    write_aligned(folder / "gmm", "train-sp0.9", slow, hmm)
    done("check", folder / "spec.yaml", "--data", folder / "data")
    done("train", folder / "spec.yaml", "--data", folder / "data", "--run", folder / "run")
    return folder


def test_states_are_learned_in_chunks_at_all_speeds(place: Path) -> None:
    assert (place / "run" / "left_out.tsv").read_text() == ""
    last = json.loads((place / "run" / "log.jsonl").read_text().splitlines()[-1])
    # There are four states; the two of a letter sound the same.
    assert last["dev"]["states.errors"] < 0.55 < 0.75


def test_the_run_aligns_words_from_its_own_folder(place: Path) -> None:
    assert digest_of(place / "run" / "hmm") == digest_of(place / "gmm" / "hmm")
    options = ("--data", place / "data", "--run", place / "run", "--set", "train")
    result = done("align", *options, "--checkpoint", "last", "--acoustic-scale", 2, "--beam", 50)
    kinds = ("ctm", "phones.ctm", "safetensors")
    assert result.output.split() == [f"{place}/run/align/train.{kind}" for kind in kinds]
    words = (place / "run" / "align" / "train.ctm").read_text().splitlines()
    assert [row.split()[0] for row in words] == [row.split()[4] for row in words]
    rows = (place / "run" / "align" / "train.phones.ctm").read_text().splitlines()
    said = [row.split() for row in rows if row.startswith("AB ")]
    begins = {row[4]: float(row[2]) for row in said if row[4] != "SIL"}
    assert begins["B"] == pytest.approx(6000 / 16000, abs=0.03)
    labels = asrkit("align", *options, "--head", "ctc", "--checkpoint", "last")
    assert "those that it has: --head states" in " ".join(labels.output.split())


def test_states_are_counted_for_a_prior(place: Path) -> None:
    options = ("--data", place / "data", "--run", place / "run", "--set", "train")
    gmm = ("--alignments", place / "gmm", "--checkpoint", "last")
    done("prior", *options, *gmm, "--head", "states")
    path, weights = place / "run" / "prior" / "states.json", resolve(place / "run", "last")
    prior = read_prior(path, weights, Outputs.states(9)).exp()
    found = read_alignments([RunFolder(place / "gmm").frames("train")], TARGETS)
    counts = np.bincount(np.concatenate(list(found.symbols.values())), minlength=9).clip(1)
    assert prior.tolist() == pytest.approx((counts / counts.sum()).tolist())
    assert counts.tolist().count(1) >= 3  # silence, noise, and what no state is
    aligned = ("--prior", path, "--prior-scale", 0.5, "--checkpoint", "last")
    done("align", *options, *aligned)
    wrong = asrkit("prior", *options, *gmm)
    assert "no head 'ctc' that is trained on alignments" in " ".join(wrong.output.split())


OF_FEATURES = """
extends: spec.yaml
data: {sample_rate: 100, speeds: [1.0], train: [train, train-sp0.9]}
model: {features: {type: ready_made, dim: 6}, training_chunks: null}
training: {epochs: 20}
"""


def test_sets_of_features_have_a_set_for_each_speed(place: Path) -> None:
    (place / "features.yaml").write_text(OF_FEATURES)
    random = np.random.default_rng(0)
    means = 3 * random.normal(size=(TREE.num_states, 6))
    sizes: dict[str, dict[str, int]] = {}
    for name, prefix, frames in (("train", "", 60), ("train-sp0.9", "sp0.9-", 66)):
        utterances = []
        for cut in open_set(place / "data", ["train"]):
            states = states_of(cut.id, frames)
            cut.id = f"{prefix}{cut.id}"
            sizes.setdefault(name, {})[cut.id] = frames
            drawn = means[states] + random.normal(size=(frames, 6))
            utterances.append((cut, drawn.astype(np.float32)))
        write_feature_set(place / "ready", name, utterances)
    shutil.copytree(place / "data" / "text", place / "ready" / "text")
    hmm = Hmm(TREE, TOPOLOGY, transitions_of(TOPOLOGY, TREE), LEXICON)
    for name, found in sizes.items():
        write_aligned(place / "gmm2", name, found, hmm)
    options = ("--data", place / "ready", "--run", place / "run2")
    done("train", place / "features.yaml", *options, f"data.alignments={place / 'gmm2'}")
    for name, found in sizes.items():
        done("align", *options, "--set", name, "--checkpoint", "last")
        aligned = read_alignments([RunFolder(place / "run2").frames(name)], TARGETS)
        for utterance, frames in found.items():
            real = torch.tensor(states_of(utterance.removeprefix("sp0.9-"), frames))
            assert (aligned.of(utterance, 1.0) == real).float().mean() > 0.9
    said = asrkit("align", *options, "--set", "train", "--checkpoint", "last", "--speed", 0.9)
    assert said.exit_code == 2
    assert "can't be played at speed 0.9: make a set" in " ".join(said.output.split())


def test_alignments_of_another_tree_are_refused(place: Path) -> None:
    other = place / "other"
    tree = monophone_tree(Phones(["A", "B"]), HmmTopology(3, 1))
    hmm = Hmm(tree, HmmTopology(3, 1), transitions_of(HmmTopology(3, 1), tree), LEXICON)
    write_aligned(other, "train", {"AB": 75}, hmm)
    options = ("--data", place / "data", f"data.alignments={other}", "data.speeds=[1.0]")
    begun = asrkit("train", place / "spec.yaml", *options, "--run", place / "run")
    assert "states of another tree than" in " ".join(begun.output.split())
    Hmm(TREE, TOPOLOGY, transitions_of(TOPOLOGY, TREE), LEXICON).write(other / "hmm")
    changed = asrkit("train", place / "spec.yaml", *options, "--run", place / "no")
    assert "which has changed since: align again" in " ".join(changed.output.split())
    fewer = "model.heads.states.states=5"
    few = asrkit("train", place / "spec.yaml", *options, fewer, "--run", place / "no")
    assert "trained on 5 classes" in " ".join(few.output.split())
    (other / "align" / "train.safetensors").unlink()
    gone = asrkit("train", place / "spec.yaml", *options, "--run", place / "no")
    assert "is not a run folder" in " ".join(gone.output.split())
    assert not (place / "no" / "resolved.yaml").exists()
