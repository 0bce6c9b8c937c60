"""The toy corpus has the layout that the recipes read, and is the same every time."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from asrkit.data.cuts import read_cut
from asrkit.data.manifests import open_set
from tests.programs import run_program

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "make_toy_corpus.py"


def start(*words: object) -> subprocess.Popen[str]:
    """Starts a process of its own, whose speech can't depend on what was spoken before."""
    command = [sys.executable, *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("layout", ["librispeech", "an4", "tedlium2", "switchboard"])
def test_toy_corpora_are_prepared_and_repeatable(tmp_path: Path, layout: str) -> None:
    places = [tmp_path / "one", tmp_path / "two"]
    options = ("--layout", layout, "--utterances", 20)
    makers = [start(TOOL, *options, "--out", place) for place in places]
    for maker in makers:
        _, said = maker.communicate()
        assert maker.returncode == 0, said
    one, two = (
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")}
        for n in ("one", "two")
    )
    assert one == two
    corpus = tmp_path / "one" / ("an4" if layout == "an4" else "")
    size = ["--size", "mini"] if layout == "librispeech" else []
    prepare = ROOT / "recipes" / layout / "prepare.py"
    search = "find" if layout == "switchboard" else "download"
    found = run_program(prepare, search, "--corpus", corpus, *size)
    assert "found" in found.stdout, found.stderr
    made = run_program(prepare, "manifests", "--corpus", corpus, *size, "--data", tmp_path / "data")
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "data" / "manifests" / "train.jsonl").stat().st_size > 0


@pytest.mark.parametrize("layout", ["librispeech", "an4", "tedlium2", "switchboard"])
def test_a_missing_corpus_is_named(tmp_path: Path, layout: str) -> None:
    size = ["--size", "mini"] if layout == "librispeech" else []
    options = ["--corpus", tmp_path / "nowhere", *size, "--data", tmp_path / "data"]
    failed = run_program(ROOT / "recipes" / layout / "prepare.py", "manifests", *options)
    assert failed.returncode == 1
    assert "nowhere" in failed.stderr
    assert "Traceback" not in failed.stderr


def librispeech(folder: Path) -> dict[str, NDArray[np.int16]]:
    """Writes a chapter of three utterances for each part; returns the samples by text."""
    random, spoken = np.random.default_rng(1), dict[str, NDArray[np.int16]]()
    speakers = ";ID  |SEX| SUBSET\n"
    for speaker, part in enumerate(["train-clean-5", "dev-clean-2", "test-clean-mini"], 11):
        chapter = folder / "LibriSpeech" / part / str(speaker) / "7"
        chapter.mkdir(parents=True)
        speakers += f"{speaker} | {'MF'[speaker % 2]} | {part}\n"
        rows = ""
        for number in range(3):
            samples = random.integers(-5000, 5000, 9000 + 777 * number).astype(np.int16)
            text, name = f"THAT'S {part.upper()} {number}", f"{speaker}-7-{number}"
            soundfile.write(chapter / f"{name}.flac", samples, 16000, subtype="PCM_16")
            spoken[text] = samples
            rows += f"{name} {text}\n"
        (chapter / f"{speaker}-7.trans.txt").write_text(rows)
    (folder / "LibriSpeech" / "SPEAKERS.TXT").write_text(speakers)
    return spoken


def test_chapters_of_librispeech_become_talks(tmp_path: Path) -> None:
    spoken = librispeech(tmp_path / "real")
    layout = ("--layout", "tedlium2", "--out", tmp_path / "ted")
    made = run_program(TOOL, *layout, "--source", tmp_path / "real")
    assert made.returncode == 0, made.stderr
    prepare = ROOT / "recipes/tedlium2/prepare.py"
    made = run_program(
        prepare, "manifests", "--corpus", tmp_path / "ted", "--data", tmp_path / "data",
        "--jobs", 1,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert [line.partition(";")[0] for line in made.stdout.splitlines()] == [
        f"{part}: 3 utterances of 1 talks" for part in ("train", "dev", "test")
    ]
    for cut in open_set(tmp_path / "data", ["train", "dev", "test"]):
        original = spoken[cut.supervisions[0].text.upper()]
        samples = read_cut(cut, 16000)
        assert np.array_equal(samples[: len(original)], original)
        assert not samples[len(original) :].any()  # up to full hundredths of seconds
        assert len(samples) - len(original) < 160


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--layout", "tedlium2"], 1, "has no part dev*"),
        (["--layout", "an4"], 2, "--source is only for --layout tedlium2 or switchboard"),
        (["--layout", "tedlium2", "--utterances", "3"], 2, "does not take --utterances"),
    ],
)
def test_what_can_not_be_relaid_is_said(
    tmp_path: Path, options: list[str], code: int, message: str
) -> None:
    librispeech(tmp_path / "real")
    shutil.rmtree(tmp_path / "real" / "LibriSpeech" / "dev-clean-2")
    places = ("--source", tmp_path / "real", "--out", tmp_path / "out")
    failed = run_program(TOOL, *places, *options)
    assert failed.returncode == code
    assert message in failed.stderr


def write_librispeech(root: Path) -> Path:
    """Writes two parts of LibriSpeech with four and two readers, three utterances each."""
    time = np.arange(16000) / 16000
    rows = [";ID|SEX|SUBSET"]
    for part, readers in (("train-clean-5", (11, 12, 13, 14)), ("test-clean-mini", (21, 22))):
        for reader in readers:
            rows.append(f"{reader} | {'FM'[reader % 2]} | {part}")
            chapter = root / part / str(reader) / "7"
            chapter.mkdir(parents=True)
            names = [f"{reader}-7-{number:04d}" for number in range(3)]
            for name in names:
                tone = (8000 * np.sin(2 * np.pi * 50 * reader * time)).astype(np.int16)
                soundfile.write(chapter / f"{name}.flac", tone, 16000)
            lines = [f"{name} SAY {name[-1]} AND {reader}\n" for name in names]
            (chapter / f"{reader}-7.trans.txt").write_text("".join(lines))
    (root / "SPEAKERS.TXT").write_text("\n".join(rows))
    return root


def test_readers_talk_to_each_other(tmp_path: Path) -> None:
    source, out, data = (
        write_librispeech(tmp_path / "LibriSpeech"),
        tmp_path / "out",
        tmp_path / "d",
    )
    made = run_program(TOOL, "--layout", "switchboard", "--out", out, "--source", source.parent)
    assert made.returncode == 0, made.stderr
    assert "18 utterances" in made.stdout
    prepared = run_program(
        ROOT / "recipes/switchboard/prepare.py", "manifests", "--corpus", out, "--data", data
    )
    assert prepared.returncode == 0, prepared.stderr
    found = {cut.id: cut for cut in open_set(data, ["train_dev"])}
    assert len(found) == 12
    assert {cut.supervisions[0].speaker for cut in found.values()} == {"11", "12", "13", "14"}
    for cut in found.values():
        samples = read_cut(cut, 8000)
        assert len(samples) == 8000
        loudest = int(np.abs(np.fft.rfft(samples.astype(float))).argmax())
        assert loudest == 50 * int(cut.supervisions[0].speaker), "the speaker's own channel"
    segments = open_set(data, ["hub5e_00"])
    assert len(segments) == 6
    assert {cut.supervisions[0].text.split()[0] for cut in segments} == {"say"}
    refused = run_program(TOOL, "--layout", "an4", "--out", out, "--source", source)
    assert "--source is only for --layout tedlium2 or switchboard" in refused.stderr
