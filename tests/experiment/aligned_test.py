"""Two stages of a transducer by the command line: all alignments, then the best ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from asrkit.cli import main
from asrkit.data.alignment_text import write_text
from asrkit.data.alignments import read_file
from asrkit.data.manifests import Source, write_manifest

SPEC = """
text: characters
data: {train: [train], dev: [dev], batches: {max_seconds: 1.7, num_buckets: 1}, num_workers: 0}
model:
  features: {type: log_mel, num_mels: 12, normalization: global}
  encoder:
    type: blstm
    hidden_dim: 16
    num_layers: 1
    pools: [4]
    dropout: 0.0
  heads:
    transducer:
      type: transducer
      weight: 1.0
      topology: rna
      predictor: {type: stateless, dim: 16, dropout: 0.0}
      joiner: {dim: 32, dropout: 0.0}
training: {epochs: 20, optimizer: adamw, schedule: {type: constant, value: 0.02}}
decoding: {transducer: {type: transducer, beam_size: 4}}
"""
SECOND = """
extends: first.yaml
imports: [{run: RUN, checkpoint: last}]
data: {alignments: RUN}
model: {heads: {transducer: {criterion: {type: alignment, focal: 2.0}}}}
training: {epochs: 4}
"""
TONES = {"A": 500, "B": 1500, "C": 3000}


def asrkit(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/, first.yaml, second.yaml and a trained run first/ with alignments."""
    folder = tmp_path_factory.mktemp("aligned")
    sources = []
    for index, text in enumerate(["AB", "BA", "AC", "CA", "BC", "CB", "A", "BB"]):
        time = np.arange(4000 + 160 * index) / 16000
        silence = np.zeros(1600)
        parts = [p for c in text for p in (silence, np.sin(6.2832 * TONES[c] * time[:2400]))]
        samples = (8000 * np.concatenate([*parts, silence[: 160 * index]])).astype(np.int16)
        soundfile.write(folder / f"u{index}.wav", samples, 16000, subtype="PCM_16")
        sources.append(Source(f"u{index}", folder / f"u{index}.wav", text, "s"))
    for name in ("train", "dev"):
        write_manifest(folder / "data", name, sources)
    (folder / "first.yaml").write_text(SPEC)
    (folder / "second.yaml").write_text(SECOND.replace("RUN", str(folder / "first")))
    assert asrkit("tokenizer", "characters", "--data", folder / "data").exit_code == 0
    trained = train(folder, "first")
    assert trained.exit_code == 0, trained.output
    for name, speeds in (("train", (1.0, 0.9)), ("dev", (1.0,))):
        aligned = align(folder, name, *speeds)
        assert aligned.exit_code == 0, aligned.output
        assert aligned.output.split() == [
            str(folder / "first" / "align" / f"{name}.{kind}")
            for kind in ("ctm", "words.ctm", "safetensors")
        ]
    return folder


def train(folder: Path, spec: str, *overrides: str, run: str | None = None) -> Result:
    options = ("--data", folder / "data", "--run", folder / (run or spec))
    return asrkit("train", folder / f"{spec}.yaml", *options, *overrides)


def align(folder: Path, name: str, *speeds: float) -> Result:
    options = ("--data", folder / "data", "--run", folder / "first", "--set", name)
    played = [word for speed in speeds for word in ("--speed", speed)]
    return asrkit("align", *options, "--head", "transducer", "--checkpoint", "last", *played)


def last_epoch(run: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((run / "log.jsonl").read_text().splitlines()[-1])["dev"]
    return found


def test_a_second_stage_learns_the_alignments_of_the_first(place: Path) -> None:
    trained = train(place, "second", "data.speeds=[0.9,1.0]")
    assert trained.exit_code == 0, trained.output
    assert (place / "second" / "left_out.tsv").read_text() == ""
    options = ("--data", place / "data", "--run", place / "second", "--set", "dev")
    decoded = asrkit("decode", *options, "--search", "transducer", "--checkpoint", "last")
    assert decoded.exit_code == 0, decoded.output
    nbest = place / "second" / "decode" / "transducer" / "dev" / "nbest.jsonl"
    lines = [json.loads(line) for line in nbest.read_text().splitlines()]
    assert [line["text"] for line in lines] == [line["reference"] for line in lines]


def test_utterances_without_an_alignment_are_left_out_by_name(place: Path) -> None:
    path = place / "first" / "align" / "train.safetensors"
    whole = path.read_bytes()
    changed = read_file(path)
    assert changed is not None
    symbols = changed.symbols
    symbols["u4", 1.0] = symbols["u4", 1.0][1:]
    symbols["u5", 1.0] = np.concatenate([np.zeros(1, np.int16), symbols["u5", 1.0][:-1]])
    del symbols["u3", 1.0], symbols["u3", 0.9]
    changed.write(path)
    try:
        trained = train(place, "second", "training.epochs=1", run="less")
    finally:
        path.write_bytes(whole)
    assert trained.exit_code == 0, trained.output
    rows = [row.split("\t") for row in (place / "less" / "left_out.tsv").read_text().splitlines()]
    assert [row[:2] for row in rows] == [
        ["u3", "no alignment"],
        ["u4", "alignment of other frames"],
        ["u5", "alignment of other labels"],
    ]


def test_text_of_older_versions_is_read_and_told(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    place = shutil.copytree(place, place.parent / "older")
    for name in ("train", "dev"):
        path = place / "first" / "align" / f"{name}.safetensors"
        held = read_file(path)
        assert held is not None
        write_text(path.with_suffix(".tsv"), held.targets, held.symbols)
        path.unlink()
    change = f"data.alignments={place / 'first'}"
    trained = train(place, "second", change, "training.epochs=1", run="text")
    assert trained.exit_code == 0, trained.output
    assert (place / "text" / "left_out.tsv").read_text() == ""
    assert caplog.text.count("train.tsv: text of an older version") == 1


def test_what_alignments_do_not_fit_is_refused(place: Path) -> None:
    spec = place / "second.yaml"
    speeds = train(place, "second", "data.speeds=[0.9,1.0,1.1]", run="no")
    assert speeds.exit_code == 2
    assert "no alignment of u0 at speed 1.1" in speeds.output
    assert "--speed 0.9 --speed 1 --speed 1.1" in speeds.output
    moved = asrkit("check", spec, "model.augment=[{type: time_resize, low: 0.9, high: 1.1}]")
    assert "model.augment.time_resize (TimeResize) moves frames" in moved.output
    assert "data.alignments is null" in asrkit("check", spec, "data.alignments=null").output
    unused = asrkit("check", spec, "model.heads.transducer.criterion=full_sum")
    assert "no head has criterion: alignment" in unused.output
    missing = train(place, "second", f"data.alignments={place / 'second'}", run="no")
    assert "is not a run folder" in missing.output or "is missing; write it with" in missing.output


def test_a_transducer_has_no_prior(place: Path) -> None:
    options = ("--data", place / "data", "--run", place / "first", "--set", "train")
    refused = asrkit("prior", *options, "--head", "transducer", "--checkpoint", "last")
    assert refused.exit_code == 2
    said = " ".join(refused.output.split())
    assert "a TransducerHead does not give the probability of each symbol of a frame" in said
    assert "heads that do: none" in said
