"""Every command reads each manifest once, and holds its utterances once."""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from asrkit.data import manifest_lines
from asrkit.data.manifests import Source, write_manifest
from asrkit.data.open_sets import OpenSets
from asrkit.experiment.align import align
from asrkit.experiment.check import check
from asrkit.experiment.decode import decode, score
from asrkit.experiment.open_data import OpenData
from asrkit.experiment.prior import estimate_prior
from asrkit.experiment.search_errors import search_errors
from asrkit.experiment.train import train
from asrkit.experiment.tune import tune
from asrkit.records import read_json_lines
from asrkit.text.tokenizers import train_tokenizer

SPEC = """
text: characters
data: {train: [train], dev: [dev], batches: {max_seconds: 4.0}, num_workers: 0}
model:
  features: {type: log_mel, num_mels: 8, normalization: global}
  encoder: {type: blstm, hidden_dim: 4, num_layers: 1, pools: [4]}
  heads:
    ctc: {type: ctc, weight: 0.5}
    rna:
      type: transducer
      weight: 0.5
      topology: rna
      predictor: {type: stateless, dim: 4}
      joiner: {dim: 4}
training: {epochs: 1, optimizer: adamw, schedule: {type: constant, value: 1e-3}}
decoding:
  ctc:
    type: label_sync
    beam_size: 2
    scorers: {ctc: 1.0, length: {type: length, weight: 0.1}}
"""


class Reads:
    """Counts how often each manifest is read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts: Counter[str] = Counter()

        def read(path: Path, *arguments: Any) -> Any:
            self.counts[path.stem] += 1
            return read_json_lines(path, *arguments)

        monkeypatch.setattr(manifest_lines, "read_json_lines", read)

    def of(self, command: Any, *arguments: Any, **options: Any) -> dict[str, int]:
        """Returns how often a command reads each manifest."""
        self.counts.clear()
        command(*arguments, **options)
        return dict(self.counts)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than all else here."""
    module = importlib.import_module("asrkit.experiment.train")
    monkeypatch.setattr(module, "plot_curves", lambda *_: None)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/ and spec.yaml."""
    folder = tmp_path_factory.mktemp("parses")
    random = np.random.default_rng(0)
    sources = []
    for index in range(6):
        path = folder / f"u{index}.wav"
        samples = random.integers(-3000, 3000, 8000 + 800 * index).astype(np.int16)
        soundfile.write(path, samples, 16000, subtype="PCM_16")
        sources.append(Source(f"u{index}", path, "AB BA"[: 2 + index % 4], f"s{index % 2}"))
    write_manifest(folder / "data", "train", sources[:4])
    write_manifest(folder / "data", "dev", sources[4:])
    train_tokenizer("characters", ["AB BA"], None, folder / "data" / "text", "characters")
    (folder / "spec.yaml").write_text(SPEC)
    return folder


def test_every_command_reads_each_manifest_once(place: Path, reads: Reads) -> None:
    spec, data, run = place / "spec.yaml", place / "data", place / "run"
    both = {"train": 1, "dev": 1}
    assert reads.of(check, spec, data=data) == both
    assert reads.of(train, spec, [], data, run) == both
    assert reads.of(train, spec, ["training.epochs=2"], data, run) == both
    on_dev = (run, data, "dev")
    assert reads.of(estimate_prior, run, data, "train", checkpoint="last") == {"train": 1}
    assert reads.of(tune, *on_dev, "ctc", {"length": (0.0, 1.0)}, checkpoint="last") == {"dev": 1}
    assert reads.of(decode, *on_dev, "ctc", checkpoint="last") == {"dev": 1}
    assert reads.of(score, run, "dev", "ctc", against=run) == {"dev": 1}
    assert reads.of(search_errors, *on_dev, "ctc") == {"dev": 1}
    for name in both:
        found = reads.of(align, run, data, name, checkpoint="last")
        assert found == {name: 1}


def test_phases_and_given_alignments_read_nothing_twice(place: Path, reads: Reads) -> None:
    data, first = place / "data", place / "first"
    phases = yaml.safe_load(SPEC) | {
        "phases": [{"epochs": 1, "changes": {"model.encoder.hidden_dim": 2}}]
    }
    (place / "phases.yaml").write_text(yaml.safe_dump(phases))
    both = {"train": 1, "dev": 1}
    epochs = ["training.epochs=2", "training.schedule={type: cosine, peak: 0.001, warmup: 0.1}"]
    assert reads.of(train, place / "phases.yaml", epochs, data, first) == both
    for name in both:
        align(first, data, name, head="rna", checkpoint="last")
    aligned = [f"data.alignments={first}", "model.heads.rna.criterion={type: alignment}"]
    spec = place / "spec.yaml"
    assert reads.of(check, spec, aligned, data=data) == both
    assert reads.of(train, spec, aligned, data, place / "second") == both


def test_utterances_are_held_once_and_not_after_their_release(place: Path, reads: Reads) -> None:
    sets, data = OpenSets(), place / "data"
    first, again = sets.open(data, ["train", "dev"]), sets.open(data, ["train"])
    assert all(a is b for a, b in zip(first, again, strict=False))
    assert len(list(again)) == 4
    sets.release()
    sets.open(data, ["train"])
    assert reads.counts == {"train": 2, "dev": 1}


def test_feature_statistics_open_nothing_where_their_file_is(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[bool] = []
    original = OpenData.training

    def open_training(*given: Any) -> Any:
        opened.append(True)
        return original(*given)

    monkeypatch.setattr(OpenData, "training", open_training)
    for epochs, expected in ((1, 2), (2, 1)):
        opened.clear()
        options = [f"training.epochs={epochs}"]
        train(place / "spec.yaml", options, place / "data", place / "statistics")
        assert len(opened) == expected
