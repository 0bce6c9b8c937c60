"""Every verb answers `--json` with one JSON object, its typed result."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from asrkit.cli import main
from asrkit.data.manifests import Source, write_manifest
from asrkit.files import write_text
from asrkit.run_folder import RunFolder
from asrkit.wfst.lattice_file import write_lattices
from tests.decoding.lattices_test import LATTICE
from tests.foreign.stored_models import put_espnet

SPEC = """
text: words
data: {train: [train], dev: [dev], batch_seconds: 4.0, num_workers: 0, num_buckets: 2}
model:
  features: {type: log_mel, num_mels: 12, normalization: none}
  encoder:
    type: conformer
    dim: 8
    num_layers: 1
    frontend: [{type: conv2d, channels: [2, 2], strides: [2, 2], dim: 8}]
    blocks: {ffn: {module: {type: feed_forward, hidden_dim: 8}}}
  heads: {ctc: {type: ctc, weight: 1.0}}
training: {epochs: 1, optimizer: adamw, schedule: {type: constant, value: 1e-3}}
decoding:
  joint: {type: label_sync, beam_size: 2, scorers: {ctc: 1.0}}
  tuned: {type: label_sync, beam_size: 2, scorers: {ctc: 1.0}}
"""
LM = """
text: words
data: {type: text, train: [train], dev: [dev], batch_labels: 99}
model:
  type: language_model
  decoder: {type: stacked_lstm, embedding_dim: 4, hidden_dim: 4, num_layers: 1, dropout: 0.0}
training: {epochs: 1, optimizer: adamw, schedule: {type: constant, value: 1e-3}}
"""
GMM = """
text: words
data: {train: [train]}
lexicon: letters
mixtures: {monophones: {schedule: {gaussians: 12, iterations: 2, grow_until: 1, align_at: [1]}}}
"""
LATTICE_GRAPH = {"type": "graph", "weight": 1.0, "graph": "lm/words.graph.safetensors"}
SET = "--data data --set dev"
COMMANDS = {
    "data kaldi": "kaldi --data made",
    "data tsv": "table.tsv --data made --set tsv",
    "data folder": "audio --data made --set folder --keep-untranscribed",
    "data features": "arrays --data made --set arrays",
    "tokenizer": "words --data data",
    "check": "spec.yaml --data data",
    "show": "spec.yaml --data data",
    "explain": "spec.yaml seed",
    "list": "encoder",
    "train": "spec.yaml --data data --run run",
    "ablate": f"--base spec.yaml {SET} --out study --search joint --row base-1",
    "sweep": "--base spec.yaml --space space.yaml --data data --out sweep --report",
    "average": "--run run",
    "prior": f"--run run {SET}",
    "align": f"--run run {SET}",
    "alignments compare": "run/align/dev.ctm run/align/dev.ctm",
    "alignments export": "a.tsv --to text --run run --set dev",
    "alignments import": "a.tsv --from text --run imported --set dev",
    "lattices export": "u.lat --to kaldi-text --run run --set dev --search made",
    "decode": f"--run run {SET} --search joint",
    "score": "--run run --set dev --search joint",
    "search-errors": f"--run run {SET} --search joint",
    "words": f"--run run {SET} --search joint",
    "calibrate": "--run run --set dev --search joint",
    "tune": f"--run run {SET} --search tuned --vary ctc=0.5:1.5 --decodes 1",
    "table": "--run run --dev dev --test dev --search joint",
    "transcribe": "run audio/u0.wav",
    "diff": "spec.yaml run",
    "perplexity": f"--run lm {SET}",
    "ngram": "--data data --set train --order 2 --units words --name two --dev dev",
    "lexicon": "--data data --set train --from graphemes --name letters",
    "graph": "--run run --data data --arpa words --name words",
    "gmm": "gmm.yaml --data data --run mixtures --last mono --jobs 1",
    "features": "--run mixtures/mono --data data --set dev",
    "chain": "--run chain --data mixtures/mono/data --alignments mixtures/mono --set dev",
    "import": "espnet exp/valid.acc.ave.pth --out foreign",
    "export": "espnet foreign --out exported",
    "files spec": "spec.yaml",
    "files hears": "spec.yaml",
    "files heads": "spec.yaml",
    "files run": "run nbest --search joint --set dev",
    "files sets": "data",
    "files searches": "run --data data",
    "files stage": "--input spec.yaml -- asrkit average --run run",
}
"""What each verb is given, in an order that makes what later ones need."""
NEEDED = ("tokenizer", "train", "average", "decode", "score")
"""What others need, in that order."""


def verbs(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, verb in group.commands.items():
        if isinstance(verb, click.Group):
            yield from verbs(verb, f"{before}{name} ")
        else:
            yield before + name, verb


def run(words: str) -> Any:
    return CliRunner().invoke(main, shlex.split(words))


def make_data(place: Path) -> list[str]:
    """Writes audio and manifests; returns the names of utterances."""
    (place / "audio").mkdir()
    draw, names = np.random.default_rng(0), [f"u{index}" for index in range(6)]
    for index, name in enumerate(names):
        samples = draw.integers(-3000, 3000, 8000 + 800 * index).astype(np.int16)
        soundfile.write(place / "audio" / f"{name}.wav", samples, 16000)
    texts = ["AB BA"[: 2 + index % 4] for index in range(6)]
    sources = [
        Source(name, place / "audio" / f"{name}.wav", text, f"s{index % 2}")
        for index, (name, text) in enumerate(zip(names, texts, strict=True))
    ]
    write_manifest(place / "data", "train", sources[:4])
    write_manifest(place / "data", "dev", sources[4:])
    return names


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with audio, a data folder, a trained and scored run, and a language model."""
    place = tmp_path_factory.mktemp("json")
    (place / "kaldi").mkdir()
    (place / "arrays").mkdir()
    np.save(place / "arrays" / "u.npy", np.ones((9, 3)))
    (place / "arrays" / "u.txt").write_text("AB")
    names = make_data(place)
    put_espnet(place / "exp")
    (place / "spec.yaml").write_text(SPEC)
    (place / "space.yaml").write_text("training.schedule.value: [1e-3, 1e-2]")
    (place / "lm.yaml").write_text(LM)
    (place / "gmm.yaml").write_text(GMM)
    scp = [f"{name} {place}/audio/{name}.wav" for name in names]
    (place / "kaldi" / "wav.scp").write_text("\n".join(scp) + "\n")
    (place / "kaldi" / "text").write_text("".join(f"{name} AB\n" for name in names))
    table = [f"{place}/audio/{name}.wav\tAB" for name in names]
    (place / "table.tsv").write_text("\n".join(["path\tsentence", *table]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for words in [f"{verb} {COMMANDS[verb]}" for verb in NEEDED]:
            done = run(words)
            assert done.exit_code == 0, (words, done.output, done.exception)
        words = "ngram --data data --set train --order 1 --units words --name words"
        assert run(words).exit_code == 0
        decoded = RunFolder(place / "run").decoded_set("made", "dev")
        node = {"type": "graph", "lattices": True, "scorers": {"ctc": 1.0, "graph": LATTICE_GRAPH}}
        write_text(decoded.search, json.dumps({"search": node, "fingerprint": "x"}))
        lines = {"fingerprint": "x"}, {"id": "u4", "lattice": LATTICE.as_json()}
        write_lattices(decoded.lattices, map(json.dumps, lines))
        for words in ("train lm.yaml --data data --run lm", "average --run lm"):
            assert run(words).exit_code == 0
    return place


def test_every_verb_is_tried() -> None:
    assert dict(verbs(main)).keys() == COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_result_is_one_json_object(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(folder)
    if name == "chain":
        assert run("align --run mixtures/mono --data mixtures/mono/data --set dev").exit_code == 0
    done = run(f"{name} --json {COMMANDS[name]}")
    assert done.exit_code == 0, (done.output, done.exception)
    found = json.loads(done.stdout, parse_constant=pytest.fail)  # NaN is no JSON
    assert isinstance(found, dict)
    assert found
    assert len(done.stdout.splitlines()) == 1


def test_results_hold_what_verbs_have_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)

    def result(name: str) -> Any:
        return json.loads(run(f"{name} --json {COMMANDS[name]}").stdout)

    score = result("score")
    assert score["errors"]["words"] > 0
    assert score == json.loads(Path("run/decode/joint/dev/score.json").read_text())
    assert result("decode") == json.loads(Path("run/decode/joint/dev/summary.json").read_text())
    assert result("average")["files"] == ["run/checkpoints/average.pt"]
    assert result("show")["model"]["parameters"] > 0
    assert result("train")["epochs"][-1]["epoch"] == 1
    assert result("files sets")["lines"] == ["dev", "train"]
    assert run("files sets data").stdout == "dev\ntrain\n"


def test_problems_of_a_spec_are_a_result_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(folder)
    (tmp_path / "wrong.yaml").write_text(SPEC.replace("epochs: 1", "epoch: 1"))
    done = run(f"check --json {tmp_path}/wrong.yaml")
    assert done.exit_code == 2
    assert "epoch" in json.loads(done.stdout)["problems"][0]
    assert "problem(s) in" in done.stderr


def test_failures_leave_stdout_empty(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    done = run("score --json --run none --set dev --search joint")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "is missing" in done.stderr
