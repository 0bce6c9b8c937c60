"""A folder with all that documented commands name: tiny data, specs, runs, tools."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import soundfile
from click.testing import CliRunner

from asrkit.cli import main
from asrkit.data.manifests import Source, write_manifest
from tests.documentation.commands import ROOT
from tests.foreign.stored_models import put_espnet, put_one_of, put_returnn_models

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
SPEC = """
text: {type: sentencepiece, name: bpe}
data: {train: [train], dev: [dev], batches: {max_seconds: 20.0, num_buckets: 2}, num_workers: 0}
model:
  features: {type: log_mel, num_mels: 12}
  encoder:
    type: conformer
    dim: 8
    num_layers: 1
    frontend: [{type: conv2d, channels: [2, 2], strides: [2, 2], dim: 8}]
    blocks:
      - {name: ffn, module: {type: feed_forward, hidden_dim: 8}}
      - {name: attention, module: {type: self_attention, num_heads: 2}}
  heads:
    ctc: {type: ctc, weight: 0.5}
    attention:
      type: attention
      weight: 0.5
      decoder: {type: transformer, dim: 8, num_layers: 1, num_heads: 2, hidden_dim: 8}
training:
  epochs: 1
  optimizer: adamw
  schedule: {type: cosine, peak: 0.001, warmup: 0.0}
decoding:
  joint: &joint {type: label_sync, beam_size: 2, scorers: {attention: 0.5, ctc: 0.5}}
  fused:
    type: label_sync
    beam_size: 2
    scorers:
      attention: 0.5
      ctc: 0.5
      lm: {type: language_model, weight: 0.2, run: run/lm}
"""
SPACE = "training.schedule.peak: [0.001, 0.002]\n"
VARIANT = "# Wider.\nmodel.encoder.blocks.ffn.module.hidden_dim: 16\n"
LM = """
text: {type: sentencepiece, name: bpe}
data: {type: text, train: [train], dev: [dev], batch_labels: 100}
model:
  type: language_model
  decoder: {type: stacked_lstm, embedding_dim: 4, hidden_dim: 4, num_layers: 1}
training: {epochs: 1, optimizer: adamw, schedule: {type: constant, value: 0.001}}
"""
DECODED = [
    "average --run run/first --best 1",
    "decode --run run/first --data data --set dev --search joint",
    "tune --run run/first --data data --set dev --search joint --vary ctc=0.1:0.9 --decodes 0",
    "score --run run/first --set dev --search joint",
    "words --run run/first --data data --set dev --search joint",
    "decode --run run/first --data data --set test --search joint --spec run/first/tune/joint.yaml",
    "score --run run/first --set test --search joint",
    "search-errors --run run/first --data data --set test --search joint",
]


TABLE = """
table:
  rows:
    joint: {type: label_sync, beam_size: 2, scorers: {attention: 0.5, ctc: 0.5}}
  columns:
    lm: {title: + LM, changes: {scorers: {lm: {type: language_model, weight: 0.2, run: run/lm}}}}
"""


def make(folder: Path) -> None:
    """Fills a folder; the commands run in it."""
    random = np.random.default_rng(0)
    for name, count in (("train", 16), ("dev", 3), ("test", 3)):
        sources = []
        for index in range(count):
            words = random.choice(WORDS, 2)
            path = folder / "audio" / f"{name}{index}.wav"
            path.parent.mkdir(exist_ok=True)
            samples = random.integers(-3000, 3000, 12000 + 100 * index).astype(np.int16)
            soundfile.write(path, samples, 16000, subtype="PCM_16")
            sources.append(Source(path.stem, path, " ".join(words), f"{name}{index % 2}"))
        write_manifest(folder / "data", name, sources)
    for name in ("talk.flac", "interview.wav"):
        heard = random.integers(-3000, 3000, 12000).astype(np.int16)
        soundfile.write(folder / name, heard, 16000, subtype="PCM_16")
    own(folder)
    put_espnet(folder / "exp" / "asr")
    put_returnn_models(folder / "exp")
    put_one_of("espnet-lms", "transformer", folder / "exp" / "lm_train", "valid.loss.ave.pth")
    (folder / "cv").mkdir()
    (folder / "cv" / "clips").symlink_to(folder / "recordings" / "train")
    rows = ["client_id\tpath\tsentence", *(f"c\t{n}.wav\t{WORDS[n]}" for n in range(9))]
    (folder / "cv" / "validated.tsv").write_text("\n".join(rows) + "\n")
    specs = {"space": SPACE, "x": SPEC, "conformer": SPEC, "decode/table": TABLE, "lm/lstm": LM}
    specs["../v/wider"] = VARIANT
    for name, text in specs.items():
        path = folder / "conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("&joint ", ""))
    run("tokenizer bpe --data data --size 24")
    run("train conf/x.yaml --data data --run run/first")
    run("train conf/lm/lstm.yaml --data data --run run/lm")
    run("average --run run/lm --best 1")
    run("ngram --data data --set train --order 4 --units words --name 4gram")
    for command in DECODED:
        run(command)
    for name in ("second", "third", "a", "b", "base", "variant"):
        shutil.copytree(folder / "run" / "first", folder / "run" / name)
    run("import espnet exp/asr/valid.acc.ave.pth --out run/imported")
    for name in ("run", "data", "exp"):
        shutil.copytree(folder / name, folder / "fresh" / name)
    (folder / "tools").symlink_to(ROOT / "tools")
    (folder / ".venv").symlink_to(sys.prefix)


def own(folder: Path) -> None:
    """Puts audio of a user there: beside text, in tables, in Kaldi folders."""
    for name, count in (("train", 16), ("dev", 3), ("test", 3)):
        rows = ["path\tsentence\tclient_id"]
        for index in range(count):
            audio = folder / "recordings" / name / f"{index}.wav"
            audio.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / "audio" / f"{name}{index}.wav", audio)
            words = f"{WORDS[index % 10]} {WORDS[index // 2]}"
            audio.with_suffix(".txt").write_text(words + "\n")
            rows.append(f"recordings/{name}/{index}.wav\t{words}\tspeaker{index % 2}")
        (folder / f"{name}.tsv").write_text("\n".join(rows) + "\n")
        kaldi = folder / "kaldi" / name
        kaldi.mkdir(parents=True)
        cells = [row.split("\t") for row in rows[1:]]
        for file, column in (("wav.scp", 0), ("text", 1), ("utt2spk", 2)):
            lines = [f"u{number} {row[column]}\n" for number, row in enumerate(cells)]
            (kaldi / file).write_text(
                "".join(lines).replace(" recordings/", f" {folder}/recordings/")
            )
        (kaldi / "feats.ark").write_text("[ 1 2\n 3 4 ]\n")
        (kaldi / "feats.scp").write_text("".join(f"u{n} feats.ark\n" for n in range(len(cells))))


def renew() -> None:
    """Makes the current folder as it was, whatever other commands left there."""
    for name in ("run", "data", "exp"):
        shutil.rmtree(name)
        shutil.copytree(Path("fresh", name), name)


def run(words: str) -> None:
    """Runs a verb of asrkit in the current folder."""
    result = CliRunner().invoke(main, words.split())
    assert result.exit_code == 0, f"asrkit {words}: {result.output}"
