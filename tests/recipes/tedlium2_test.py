"""TED-LIUM's talks become utterances and references; what is missing is named."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import soundfile

from asrkit.data.manifests import open_set
from asrkit.data.stm import read_stm
from tests.programs import run_program

PREPARE = Path(__file__).parents[2] / "recipes" / "tedlium2" / "prepare.py"
TALK = """;; comment
{0} 1 {0} 2.00 3.00 <F0_M> it 's a good(2) <sil> {{NOISE}} day <unk> (x-1)
{0} 1 inter_segment_gap 0.00 1.00 <o,,unknown> ignore_time_segment_in_scoring
{0} 1 {0} 1.00 2.00 <o,f0,female> kennedy 's rock 'n' roll [NOISE] ' cause
{0} 1 {0} 3.00 3.50 <o,f0,female> <unk>
{0} 1 {0} 3.50 4.20 <o,f0,female> don't
"""
TALKS = {"train": ["Zoe_2010", "Abe_2009"], "dev": ["Dan_2010"], "test": ["Tim_2010"]}


def corpus(folder: Path) -> Path:
    root = folder / "TEDLIUM_release2"
    for part, talks in TALKS.items():
        for kind in ("sph", "stm"):
            (root / part / kind).mkdir(parents=True)
        for talk in talks:
            (root / part / "stm" / f"{talk}.stm").write_text(TALK.format(talk))
            path = root / part / "sph" / f"{talk}.sph"
            soundfile.write(path, np.ones(64000, np.int16), 16000, "PCM_16", format="NIST")
    (root / "TEDLIUM.152k.dic").write_text("it's IH T S\nit IH T\nrock'n' R AA K N\n\n")
    return folder


def prepare(*words: object) -> CompletedProcess[str]:
    return run_program(PREPARE, *words)


def manifests(folder: Path, *options: str) -> CompletedProcess[str]:
    data = folder / "data"
    return prepare("manifests", "--corpus", folder, "--data", data, "--jobs", 1, *options)


def test_segments_are_utterances_talk_by_talk_in_time(tmp_path: Path) -> None:
    done = manifests(corpus(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "train: 6 utterances of 2 talks; "
        "segments left out: 2 not to be scored, 2 without words\n"
        "dev: 4 utterances of 1 talks; segments left out: 1 not to be scored\n"
        "test: 4 utterances of 1 talks; segments left out: 1 not to be scored\n"
    )
    cuts = list(open_set(tmp_path / "data", ["train"]))
    spans = ["00001000-00002000", "00002000-00003000", "00003500-00004200"]
    talks = ["Abe_2009", "Zoe_2010"]
    assert [cut.id for cut in cuts] == [f"{talk}-1-{span}" for talk in talks for span in spans]
    assert [cut.start for cut in cuts[:3]] == [1.0, 2.0, 3.5]
    assert [cut.duration for cut in cuts[:3]] == [1.0, 1.0, 0.5]  # the file ends at 4 s
    texts = [cut.supervisions[0].text for cut in cuts[:3]]
    assert texts == ["kennedy 's rock'n' roll ' cause", "it's a good day", "don't"]
    assert {cut.supervisions[0].speaker for cut in cuts} == set(talks)


def test_references_have_the_same_names_and_texts(tmp_path: Path) -> None:
    manifests(corpus(tmp_path))
    segments = list(read_stm(tmp_path / "data" / "stm" / "dev.stm"))
    assert [segment.ignored for segment in segments] == [True, False, False, False, False]
    scored = {s.id: s.text for s in segments if not s.ignored}
    assert list(scored.values()).count("") == 1
    cuts = open_set(tmp_path / "data", ["dev"])
    assert scored == {cut.id: cut.supervisions[0].text for cut in cuts}
    assert segments[2].labels == ("o", "f0", "male")


def test_apostrophes_can_be_split(tmp_path: Path) -> None:
    root = corpus(tmp_path) / "TEDLIUM_release2"
    (root / "TEDLIUM.152k.dic").unlink()
    failed = manifests(tmp_path)
    assert failed.returncode == 1
    assert "TEDLIUM.152k.dic is missing" in failed.stderr
    done = manifests(tmp_path, "--apostrophes", "split")
    assert done.returncode == 0, done.stderr
    texts = [cut.supervisions[0].text for cut in open_set(tmp_path / "data", ["dev"])]
    assert texts == ["kennedy 's rock 'n' roll ' cause", "it 's a good day", "", "don 't"]


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("dev/sph/Dan_2010.sph", "Dan_2010.sph is missing: "),
        ("dev/stm/Dan_2010.stm", "dev has no transcripts stm/*.stm"),
    ],
)
def test_missing_files_are_named(tmp_path: Path, missing: str, message: str) -> None:
    (corpus(tmp_path) / "TEDLIUM_release2" / missing).unlink()
    failed = manifests(tmp_path)
    assert failed.returncode == 1
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_whole_corpus_is_found_and_half_of_one_is_not(tmp_path: Path) -> None:
    corpus(tmp_path)
    assert "found TED-LIUM release 2" in prepare("download", "--corpus", tmp_path).stdout
    (tmp_path / "TEDLIUM_release2" / "dev").rename(tmp_path / "elsewhere")
    failed = prepare("download", "--corpus", tmp_path)
    assert failed.returncode == 1
    assert "is there, but incomplete: dev/stm missing" in failed.stderr
