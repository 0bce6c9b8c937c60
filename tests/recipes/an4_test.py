"""AN4's lists become utterances; what is wrong with them is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

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


def manifests(corpus: Path) -> subprocess.CompletedProcess[str]:
    words = ["manifests", "--corpus", corpus, "--data", corpus.parent / "data", "--jobs", 1]
    command = [sys.executable, str(PREPARE), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


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
