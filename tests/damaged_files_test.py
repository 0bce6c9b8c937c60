"""Damaged files of runs and data folders: every verb that reads one says so, with its place.

The folder is that of one toy experiment; each case damages one of its files, runs one verb, and
makes the damage good. There is never a traceback, and a message names the file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from asrkit.cli import main
from asrkit.data.manifests import Source, write_manifest

SPEC = """
text: characters
data: {train: [train], dev: [dev], batches: {max_seconds: 4.0, num_buckets: 2}, num_workers: 0}
model:
  features: {type: log_mel, num_mels: 12, normalization: global}
  encoder:
    type: conformer
    dim: 8
    num_layers: 1
    frontend: [{type: conv2d, channels: [2, 2], strides: [2, 2], dim: 8}]
    blocks: [{name: ffn, module: {type: feed_forward, hidden_dim: 8}}]
  heads:
    ctc: {type: ctc, weight: 0.5}
    attention:
      type: attention
      weight: 0.5
      decoder: {type: transformer, dim: 8, num_layers: 1, num_heads: 2, hidden_dim: 8}
training: {epochs: 1, optimizer: adamw, schedule: {type: constant, value: 1e-3}}
decoding:
  joint:
    type: label_sync
    beam_size: 2
    scorers:
      attention: 0.5
      ctc: {type: ctc, weight: 0.5, prior: prior/ctc.json, prior_scale: 0.1}
"""
DATA = ("--data", "data")
RUN = (*DATA, "--run", "run")
DECODED = ("--run", "run", "--set", "dev", "--search", "joint")
VERBS = {
    "train": ("train", "spec.yaml", *RUN),
    "decode": ("decode", *DATA, *DECODED),
    "score": ("score", *DECODED),
    "search-errors": ("search-errors", *DATA, *DECODED),
    "table": ("table", "--run", "run", "--dev", "dev", "--test", "dev", "--search", "joint"),
    "prior": ("prior", *RUN, "--set", "train"),
    "tokenizer": ("tokenizer", "words", *DATA),
    "show": ("show", "spec.yaml", *DATA),
    "diff": ("diff", "run", "run"),
}
READ_BY = {
    "data/manifests/train.jsonl": "tokenizer",
    "data/text/characters.txt": "show",
    "run/resolved.yaml": "diff",
    "run/log.jsonl": "train",
    "run/statistics.safetensors": "train",
    "run/vocabulary.txt": "prior",
    "run/environment.json": "table",
    "run/prior/ctc.json": "decode",
    "run/decode/joint/dev/nbest.jsonl": "score",
    "run/decode/joint/dev/search.json": "search-errors",
    "run/decode/joint/dev/score.json": "table",
    "run/decode/joint/dev/summary.json": "table",
}


def run(*words: str) -> tuple[int, str, BaseException | None]:
    result = CliRunner().invoke(main, list(words))
    error = None if isinstance(result.exception, SystemExit) else result.exception
    return result.exit_code, result.output.replace("\n", ""), error


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every verb has been run."""
    folder = tmp_path_factory.mktemp("whole")
    random = np.random.default_rng(0)
    sources = []
    for index in range(6):
        samples = random.integers(-3000, 3000, 8000 + 800 * index).astype(np.int16)
        soundfile.write(folder / f"u{index}.wav", samples, 16000)
        text = "AB BA"[: 2 + index % 4]
        sources.append(Source(f"u{index}", folder / f"u{index}.wav", text, f"s{index % 2}"))
    write_manifest(folder / "data", "train", sources[:4])
    write_manifest(folder / "data", "dev", sources[4:])
    (folder / "spec.yaml").write_text(SPEC)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        first = [("tokenizer", "characters", *DATA), VERBS["train"], ("average", "--run", "run")]
        for words in [*first, VERBS["prior"], VERBS["decode"], VERBS["score"], VERBS["table"]]:
            code, output, error = run(*words)
            assert code == 0, (words, output, error)
    return folder


@pytest.fixture
def place(whole: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The folder, in which damage is made good again."""
    kept = tmp_path / "kept"
    shutil.copytree(whole, kept)
    monkeypatch.chdir(whole)
    yield whole
    for name in ("data", "run"):
        shutil.rmtree(whole / name)
        shutil.copytree(kept / name, whole / name)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _junk(path: Path) -> None:
    path.write_bytes(np.random.default_rng(1).bytes(200))


def _no_utf8(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2] + b"\xe4\xf6" + raw[len(raw) // 2 :])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "junk": _junk,
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "no UTF-8": _no_utf8,
    "deep": lambda path: path.write_bytes(b"[" * 100_000),
    "a number": lambda path: path.write_bytes(b"5\n"),
    "folder": _folder,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READ_BY)
def test_damaged_files_are_named(place: Path, name: str, damage: str) -> None:
    DAMAGES[damage](place / name)
    code, output, error = run(*VERBS[READ_BY[name]])
    assert error is None, (output, error)
    if damage == "folder" and code == 0:  # as if the file was not there, which may be fine
        assert name in ("run/vocabulary.txt",)
    elif name == "run/vocabulary.txt":
        assert "labels" in output or "vocabulary.txt" in output
    elif name.endswith("characters.txt") and code == 0:
        assert damage == "a number", "which is a character"
    else:
        assert code == 2, output
        assert Path(name).name in output or name.rpartition("/")[0] in output, output


def _changes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the place of each value in a JSON document; in lists of the first entry alone."""
    entries = value.items() if isinstance(value, dict) else enumerate(value[:1])
    for key, inner in entries:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from _changes(inner, (*path, key))


JSON_FILES = {name: verb for name, verb in READ_BY.items() if ".json" in name}


@pytest.mark.parametrize("wrong", [None, [1], "x", -5, 10**30, float("nan")], ids=str)
@pytest.mark.parametrize("name", [n for n in JSON_FILES if JSON_FILES[n] != "decode"])
def test_no_value_of_a_wrong_kind_is_a_traceback(place: Path, name: str, wrong: object) -> None:
    lines = (place / name).read_text(encoding="utf-8")
    text = lines.split("\n")[0] if name.endswith(".jsonl") else lines
    rest = lines[len(text) :]
    places = list(_changes(json.loads(text)))
    step = 1 if len(places) < 12 else 4  # several at once would hide one another: a sample
    for where in places[::step]:
        changed = json.loads(text)
        inner = changed
        for key in where[:-1]:
            inner = inner[key]
        inner[where[-1]] = wrong
        (place / name).write_text(json.dumps(changed) + rest, encoding="utf-8")
        code, output, error = run(*VERBS[JSON_FILES[name]])
        assert error is None, (where, output, error)
        assert code in (0, 2), (where, output)
