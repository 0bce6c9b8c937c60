"""The recipes' preparation on real speech, where ASRKIT_CORPORA names a folder that holds it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asrkit.data.cuts import read_cut
from asrkit.data.manifests import open_set
from tests.programs import run_program

ROOT = Path(__file__).parents[1]
CORPORA = os.environ.get("ASRKIT_CORPORA", "")


def prepare(recipe: str, *options: str) -> None:
    done = run_program(ROOT / "recipes" / recipe / "prepare.py", "manifests", *options)
    assert done.returncode == 0, done.stdout + done.stderr


def speakers(data: Path, name: str) -> set[str]:
    return {cut.supervisions[0].speaker for cut in open_set(data, [name])}


@pytest.mark.skipif(not (Path(CORPORA) / "an4").is_dir(), reason="needs ASRKIT_CORPORA/an4")
def test_an4_has_its_official_size_and_speakers_of_their_own(tmp_path: Path) -> None:
    prepare("an4", "--corpus", f"{CORPORA}/an4", "--data", str(tmp_path))
    sizes = {
        name: len(open_set(tmp_path, [name])) for name in ("train", "dev", "train_dev", "test")
    }
    assert sizes["train"] + sizes["dev"] == sizes["train_dev"] == 948
    assert 80 <= sizes["dev"] <= 120
    test = open_set(tmp_path, ["test"])
    assert len(test) == 130
    assert sum(len(cut.supervisions[0].text.split()) for cut in test) == 773
    assert not speakers(tmp_path, "train") & speakers(tmp_path, "dev")
    assert not speakers(tmp_path, "train_dev") & speakers(tmp_path, "test")


@pytest.mark.skipif(
    not (Path(CORPORA) / "LibriSpeech").is_dir(), reason="needs ASRKIT_CORPORA/LibriSpeech"
)
def test_librispeech_mini_has_all_its_utterances(tmp_path: Path) -> None:
    prepare("librispeech", "--corpus", CORPORA, "--size", "mini", "--data", str(tmp_path))
    train = open_set(tmp_path, ["train"])
    assert len(train) == 1519
    assert sum(cut.duration for cut in train) / 60 == pytest.approx(318.6, abs=0.1)
    evaluation = sorted(p.stem for p in (tmp_path / "manifests").glob("*.jsonl"))
    assert evaluation[0].startswith("dev-clean")
    for name in evaluation:
        if name != "train":
            assert not speakers(tmp_path, "train") & speakers(tmp_path, name)


@pytest.mark.skipif(
    not (Path(CORPORA) / "LibriSpeech").is_dir(), reason="needs ASRKIT_CORPORA/LibriSpeech"
)
def test_readers_on_the_telephone_are_cut_out_again(tmp_path: Path) -> None:
    source, out, data = CORPORA, tmp_path / "out", tmp_path / "data"
    layout = ("--layout", "switchboard", "--utterances", 56)
    done = run_program(
        ROOT / "tools" / "make_toy_corpus.py", *layout, "--source", source, "--out", out
    )
    assert done.returncode == 0, done.stderr
    prepare("switchboard", "--corpus", str(out), "--data", str(data))
    cuts = list(open_set(data, ["train_dev"]))
    assert len(cuts) == 56
    assert not speakers(data, "train") & speakers(data, "dev")
    for cut in cuts:
        sides = cut, replace(cut, channel=1 - cut.channel)
        own, other = (np.median(np.abs(read_cut(side, 8000).astype(int))) for side in sides)
        assert own > other, "a reader speaks on one channel, the other one listens"
