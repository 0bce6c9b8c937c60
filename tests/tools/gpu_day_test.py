"""A day with a GPU in miniature: what is packed, and every part of the run on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

from tools.gpu_day.corpus import unpack
from tools.gpu_day.pack import main as pack
from tools.gpu_day.parts import Day, Outcome, Part

ROOT = Path(__file__).parents[2]
SPOKEN = ["ONE TWO", "TWO ONE THREE", "THREE", "ONE ONE TWO"]


def make_corpus(folder: Path) -> None:
    """Writes noise as LibriSpeech: three speakers to train on, one for dev, one for test."""
    draw = np.random.default_rng(0)
    parts = {"train-clean-5": "123", "dev-clean-mini": "4", "test-clean-mini": "5"}
    for part, speakers in parts.items():
        for speaker in speakers:
            chapter = folder / "LibriSpeech" / part / speaker / "7"
            chapter.mkdir(parents=True)
            lines = []
            for number, text in enumerate(SPOKEN):
                name = f"{speaker}-7-{number}"
                samples = draw.integers(-3000, 3000, 24000 + 1000 * number).astype(np.int16)
                soundfile.write(chapter / f"{name}.flac", samples, 16000, subtype="PCM_16")
                lines.append(f"{name} {text}\n")
            (chapter / f"{speaker}-7.trans.txt").write_text("".join(lines))


def packed(folder: Path, *options: str) -> Path:
    make_corpus(folder / "corpus")
    words = [str(folder / "pack"), "--corpus", str(folder / "corpus"), "--no-wheels", *options]
    done = CliRunner().invoke(pack, words)
    assert done.exit_code == 0, done.output
    return folder / "pack"


def test_packed_speech_comes_back_as_librispeech(tmp_path: Path) -> None:
    folder = packed(tmp_path)
    assert unpack(folder, tmp_path / "back", jobs=1) == 20
    for path in sorted((tmp_path / "corpus").rglob("*")):
        other = tmp_path / "back" / path.relative_to(tmp_path / "corpus")
        if path.suffix == ".txt":
            assert other.read_text() == path.read_text()
        elif path.suffix == ".flac":
            assert soundfile.info(other).frames == soundfile.info(path).frames
            assert soundfile.info(other).samplerate == 16000


def test_packs_stay_below_their_size_and_take_all_voices(tmp_path: Path) -> None:
    folder = packed(tmp_path, "--megabytes", "0.04")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size < 45_000
    texts = (folder / "audio" / "train-clean-5" / "texts.tsv").read_text().splitlines()
    assert 3 <= len(texts) < 12
    assert {line[0] for line in texts} == set("123")


def test_parts_are_left_out_fail_and_are_stopped_with_words(tmp_path: Path) -> None:
    def outcome(code: str, limit: float = 60.0, needs: tuple[str, ...] = ()) -> Outcome:
        day = Day("cpu", tmp_path, tmp_path, None, 1.0, limit)
        part = Part("any", lambda day: [[sys.executable, "-c", code]], lambda x: x[-1], needs)
        return part.run(day, tmp_path / "any.log")

    assert outcome("print('3 of 4')") == Outcome("passed", "3 of 4")
    assert outcome("", needs=("no_such_module",)).numbers == "missing: no_such_module"
    assert outcome("raise SystemExit(3)").numbers.startswith("exit code 3 of python -c")
    assert outcome("import time; time.sleep(60)", limit=0.5).numbers.startswith("exit code 124")
    assert "stopped after" in (tmp_path / "any.log").read_text()


def packages(pack: Path | str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tools/gpu_day/packages.py", str(pack), str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_only_what_is_missing_is_taken_from_the_pack(tmp_path: Path) -> None:
    (tmp_path / "pack" / "wheels").mkdir(parents=True)
    for name in ("click-99.0", "no_such_package-1.0"):
        wheel = tmp_path / "pack" / "wheels" / f"{name}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"{name.split('-')[0]}/__init__.py", "")
    done = packages(tmp_path / "pack", tmp_path / "found")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "taken from the pack: no_such_package\n" in done.stdout
    assert [path.name for path in (tmp_path / "found").iterdir()] == ["no_such_package"]
    assert f"torch {torch.__version__.split('+')[0]}" in done.stdout
    refused = packages(tmp_path / "nowhere", tmp_path / "found")
    assert refused.returncode == 1
    assert "has no folder wheels" in refused.stdout


@pytest.mark.slow
def test_the_whole_day_passes_in_miniature(tmp_path: Path) -> None:
    words = ["run", "--pack", str(packed(tmp_path)), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [str(ROOT / "tools" / "gpu_day.sh"), *words, "--device", "cpu"],
        cwd=tmp_path,
        env={**os.environ, "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    summary = (tmp_path / "out" / "summary.txt").read_text()
    names = [line.split()[0] for line in summary.splitlines()]
    wanted = ["tests", "kernels", "train_step", "decode", "transducer_loss", "transducer_kernels"]
    assert names == [*wanted, "training"]
    assert "dev WER" in summary, summary
    weights = torch.load(tmp_path / "out" / "weights.pt", weights_only=True)
    assert {tensor.dtype for tensor in weights.values()} <= {torch.float16, torch.int64}
    kept = {path.name for path in (tmp_path / "out").iterdir()}
    assert kept == {"logs.txt", "run.tar.gz", "summary.txt", "weights.pt"}
    logs = (tmp_path / "out" / "logs.txt").read_text()
    assert all(f"== {name} " in logs for name in names)
