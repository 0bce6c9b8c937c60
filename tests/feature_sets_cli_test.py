"""Sets of ready-made features: whatever works on audio gives the same with features of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import Result

from asrkit.data.audio import AudioError
from asrkit.data.cuts import read_signal
from asrkit.data.feature_sets import write_feature_set
from asrkit.data.manifests import Source, open_set, write_manifest
from asrkit.nn.features import LogMel
from tests.cli_test import asrkit

WORDS = ["one", "two", "three", "four", "five"]
SPEC = """
text: {type: characters, name: characters}
data: {train: [train], dev: [dev], batches: {max_seconds: 20.0}, num_workers: 0}
model:
  features: {type: log_mel, num_mels: 12}
  encoder: {type: blstm, hidden_dim: 8, num_layers: 1, pools: [2], dropout: 0.0}
  heads: {ctc: {type: ctc, weight: 1.0}}
training: {epochs: 2, optimizer: adamw, schedule: {type: constant, value: 0.01}}
decoding: {greedy: ctc_greedy}
"""
OF_FEATURES = """
extends: audio.yaml
data: {sample_rate: 100}
model: {features: {type: ready_made, dim: 12}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same data as audio and as features, and a spec and a run of each."""
    folder, draw = tmp_path_factory.mktemp("features"), np.random.default_rng(0)
    mel = LogMel(num_mels=12)
    for name, count in (("train", 12), ("dev", 4)):
        sources = []
        for index in range(count):
            path = folder / f"{name}{index}.wav"
            samples = draw.integers(-3000, 3000, 14000 + 160 * index).astype(np.int16)
            soundfile.write(path, samples, 16000, subtype="PCM_16")
            sources.append(Source(path.stem, path, " ".join(draw.choice(WORDS, 3)), f"s{index}"))
        write_manifest(folder / "audio", name, sources)
        made = []
        for cut in open_set(folder / "audio", [name]):
            heard = torch.from_numpy(read_signal(cut, 16000))[None]
            frames, _ = mel(heard, torch.tensor([heard.shape[1]]))
            made.append((cut, frames[0].numpy()))
        assert write_feature_set(folder / "ready", name, made) == count
    (folder / "audio.yaml").write_text(SPEC)
    (folder / "ready.yaml").write_text(OF_FEATURES)
    for kind in ("audio", "ready"):
        done("tokenizer", "characters", "--data", folder / kind, "--set", "train")
        done(
            "train", folder / f"{kind}.yaml", "--data", folder / kind, "--run", folder / f"r{kind}"
        )
        done("average", "--run", folder / f"r{kind}", "--best", 1)
    return folder


def done(*words: object) -> Result:
    result = asrkit(*words)
    assert result.exit_code == 0, result.output
    return result


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_losses_are_those_of_the_audio(place: Path) -> None:
    audio, ready = (lines(place / run / "log.jsonl") for run in ("raudio", "rready"))
    assert len(audio) == len(ready) == 2
    for one, other in zip(audio, ready, strict=True):
        assert one["train"] == pytest.approx(other["train"], abs=1e-5)
        assert one["dev"] == pytest.approx(other["dev"], abs=1e-5)


def test_decoding_and_scoring_give_the_same(place: Path) -> None:
    found = []
    for kind in ("audio", "ready"):
        at = ("--run", place / f"r{kind}", "--set", "dev", "--search", "greedy")
        done("decode", *at, "--data", place / kind)
        done("score", *at)
        said = lines(place / f"r{kind}/decode/greedy/dev/nbest.jsonl")
        found.append([(line["id"], line["hypotheses"][0]["text"]) for line in said])  # type: ignore[index]
    assert found[0] == found[1]


def test_a_check_counts_their_utterances_as_usable(place: Path) -> None:
    said = done("check", place / "ready.yaml", "--data", place / "ready").output
    assert "12 of 12" in said


def test_a_model_of_audio_says_that_there_is_none(place: Path) -> None:
    said = asrkit("check", place / "audio.yaml", "--data", place / "ready")
    assert said.exit_code != 0
    assert "has 100 ready-made features a second and no audio" in said.output.replace("\n", " ")


def test_a_model_of_other_features_says_what_it_got(place: Path) -> None:
    at = ("--run", place / "rready", "--set", "dev", "--search", "greedy")
    cuts = open_set(place / "ready", ["dev"])
    write_feature_set(place / "wide", "dev", [(cut, np.zeros((50, 13), "f4")) for cut in cuts])
    said = asrkit("decode", *at, "--data", place / "wide")
    assert said.exit_code != 0
    assert "reads 12 ready-made features a frame" in said.output.replace("\n", " ")
    assert "got 13" in said.output.replace("\n", " ")


def test_other_speeds_are_refused(place: Path) -> None:
    at = ("--data", place / "ready", "--run", place / "fast")
    said = asrkit("train", place / "ready.yaml", *at, "data.speeds=[1.0, 1.1]")
    assert said.exit_code != 0
    assert "can't be played at speed 1.1" in said.output.replace("\n", " ")


def test_what_is_no_number_is_named(tmp_path: Path, place: Path) -> None:
    cut = next(iter(open_set(place / "audio", ["dev"])))
    frames = np.zeros((50, 3), np.float32)
    frames[7, 1] = np.nan
    write_feature_set(tmp_path, "bad", [(cut, frames)])
    with pytest.raises(AudioError, match=f"frame 7 of the features of cut {cut.id}"):
        read_signal(next(iter(open_set(tmp_path, ["bad"]))), 100)


def test_features_that_are_not_where_they_were_are_told_in_one_line(
    tmp_path: Path, place: Path
) -> None:
    cut = next(iter(open_set(place / "audio", ["dev"])))
    write_feature_set(tmp_path, "moved", [(cut, np.zeros((50, 3), np.float32))])
    (tmp_path / "features" / "moved").rename(tmp_path / "elsewhere")
    with pytest.raises(AudioError, match=f"the features of cut {cut.id} can't be read") as told:
        read_signal(next(iter(open_set(tmp_path, ["moved"]))), 100)
    assert "make them again" in str(told.value)
    assert "extra info" not in str(told.value), "the arguments of lhotse's functions"
