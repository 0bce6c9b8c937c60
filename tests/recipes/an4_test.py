"""AN4's lists become utterances; what is wrong with them is named."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import soundfile

from tests.programs import run_program

PREPARE = Path(__file__).parents[2] / "recipes" / "an4" / "prepare.py"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "an4" / "etc").mkdir(parents=True)
    for part, speakers in (("train", "ab"), ("test", "c")):
        names = [f"an4_clstk/{speaker}/{n}-{speaker}-b" for speaker in speakers for n in (1, 2)]
        texts = [f"<s> WORD {n} </s> ({Path(name).name})" for n, name in enumerate(names)]
        for number, name in enumerate(names):
            path = tmp_path / "an4" / "wav" / f"{name}.sph"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.full(8000, number, np.int16), 16000, "PCM_16", format="NIST")
        lists = tmp_path / "an4" / "etc" / f"an4_{part}"
        lists.with_name(f"{lists.name}.fileids").write_text("\n".join(names) + "\n")
        lists.with_name(f"{lists.name}.transcription").write_text("\n".join(texts) + "\n")
    return tmp_path / "an4"


def manifests(corpus: Path, *options: str) -> CompletedProcess[str]:
    places = ("--corpus", corpus, "--data", corpus.parent / "data")
    return run_program(PREPARE, "manifests", *places, "--jobs", 1, *options)


def test_an_utterance_without_a_transcript_is_left_out_and_named(corpus: Path) -> None:
    path = corpus / "etc" / "an4_train.transcription"
    path.write_text("\n".join(path.read_text().splitlines()[1:]))
    done = manifests(corpus)
    assert done.returncode == 0, done.stderr
    assert "train_dev: 3 utterances" in done.stdout
    rejected = (corpus.parent / "data" / "rejected" / "train_dev.tsv").read_text()
    assert "a-1-a-b\t" in rejected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<s> CAF\xc9 </s> (1-c-b)\n", "an4_test.transcription:1: can't be read as UTF-8"),
        (b"WORD\n", "an4_test.transcription: expected `words (utterance)`, got 'WORD'"),
        (None, "an4_test.transcription is missing: is"),
    ],
)
def test_bad_lists_are_named(corpus: Path, content: bytes | None, message: str) -> None:
    path = corpus / "etc" / "an4_test.transcription"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    done = manifests(corpus)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_test_set_that_lost_a_file_stops_unless_that_is_allowed(corpus: Path) -> None:
    next((corpus / "wav").rglob("*-c-b.sph")).unlink()
    stopped = manifests(corpus)
    assert stopped.returncode == 1
    assert "set test: 1 of 2 utterances can't be used" in stopped.stderr
    assert "--allow-missing" in stopped.stderr
    done = manifests(corpus, "--allow-missing")
    assert done.returncode == 0, done.stderr
    assert "test: 1 utterances" in done.stdout


def test_the_channel_of_stereo_files_has_to_be_chosen(corpus: Path) -> None:
    for path in (corpus / "wav").rglob("*.sph"):
        samples, rate = soundfile.read(path, dtype="int16")
        both = np.stack([np.zeros_like(samples), samples], axis=1)
        soundfile.write(path, both, rate, "PCM_16", format="NIST")
    refused = manifests(corpus)
    assert refused.returncode == 1
    assert "has 2 channels, and which one is heard is not said" in refused.stderr
    done = manifests(corpus, "--channel", "1")
    assert done.returncode == 0, done.stderr
