"""Switchboard is found in LDC's layouts, cut by time and channel, and divided by speakers."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from asrkit.data.cuts import read_cut, speaker_of, text_of
from asrkit.data.manifests import open_set
from asrkit.scoring.nist.hub5_stm import read_hub5_stm
from recipes.switchboard.prepare import held_out, main


def prepare(verb: str, corpus: Path, data: Path | None = None) -> str:
    words = [verb, "--corpus", str(corpus)]
    words += [] if data is None else ["--data", str(data), "--jobs", "1"]
    done = CliRunner().invoke(main, words)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.output


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def write_audio(path: Path, seconds: float = 10.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(len(path.name))
    samples = random.integers(-9000, 9000, (int(seconds * 8000), 2)).astype(np.int16)
    soundfile.write(path, samples, 8000, format="NIST", subtype="ULAW")


def write_side(corpus: Path, side: str, *lines: str) -> None:
    folder = corpus / "swb_ms98_transcriptions" / side[:2] / side[:4]
    name = f"sw{side}-ms98-a"
    write(folder / f"{name}-trans.text", *(f"{name}-{i:04d} {s}" for i, s in enumerate(lines, 1)))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three conversations; the first two share a caller."""
    corpus = tmp_path / "ldc"
    for number, disc in ((2001, "swb1/d1"), (2002, "swb1/d2"), (2003, "sw2")):
        write_audio(corpus / "LDC97S62" / disc / "data" / f"sw0{number}.sph")
        for side in "AB":
            write_side(
                corpus,
                f"{number}{side}",
                "0.000000 1.000000 [silence]",
                f"1.000000 2.500000 i'm f[or]- {number} <b_aside> [laughter-side] <e_aside> {side}",
                "3.000000 4.000000 [noise]",
                "9.500000 10.004000 IBM and NASA",
            )
    write(
        corpus / "swb_ms98_transcriptions" / "sw-ms98-dict.text",
        "# words", "I ay", "B b iy", "M eh m", "N eh n", "A ey", "S eh s", "NASA n ae s ax",
    )  # fmt: skip
    write(
        corpus / "LDC97S62" / "docs" / "conv_tab.csv",
        '2001, "Y", 1001, 1002, 301', '2002, "Y", 1003, 1001, 302', '2003, "Y", 1004, 1005, 301',
    )  # fmt: skip
    return corpus


def add_test_sets(corpus: Path) -> None:
    write_audio(corpus / "LDC2002S09" / "hub5e_00" / "english" / "sw_4390.sph")
    write_audio(corpus / "LDC2002S09" / "hub5e_00" / "english" / "en_4156.sph")
    reference = corpus / "LDC2002T43" / "2000_hub5_eng_eval_tr" / "reference"
    write(
        reference / "hub5e00.english.000405.stm",
        ';; LABEL "O" "Overall" ""',
        "sw_4390 A sw_4390_A 1.00 2.00 <O,sw,F,sw-F> I AM ((%HESITATION) HERE (WOR-)",
        "sw_4390 B sw_4390_B 2.50 3.25 <O,sw,F,sw-F> { GONNA / GOING TO } <B_ASIDE> GO",
        "en_4156 B en_4156_B 2.00 3.00 <O,en,F,en-F> IGNORE_TIME_SEGMENT_IN_SCORING",
        "en_4156 B en_4156_B 3.00 4.00 <O,en,F,en-F> (%HESITATION)",
    )
    write(reference / "en20000405_hub5.glm", "UH => %HESITATION / [ ] __ [ ]")
    for name in ("fsh_60386", "sw_45097"):
        write_audio(corpus / "LDC2007S10/data/audio/eval03/english/cts" / f"{name}.sph")
        write(
            corpus / f"LDC2007S10/data/references/eval03/english/cts/{name}.stm",
            f"{name} 1 inter_segment_gap 0.00 1.00 <O>",
            f"{name} 2 {name}_B 1.00 2.00 <O,F> HELLO",
        )
    write(corpus / "LDC2007S10/data/trans_rules/en20030506.glm", "UM => %HESITATION")


def test_training_data_is_cut_by_channel_and_time(corpus: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    said = prepare("manifests", corpus, data)
    assert "dev: 1 of 3 conversations (2003); 0 others share a speaker" in said
    assert "hub5e_00: not there" in said
    cuts = {cut.id: cut for cut in open_set(data, ["train_dev"])}
    assert len(cuts) == 12, "two of four segments a side have words"
    cut = cuts["sw2002B-ms98-a-0002"]
    assert text_of(cut) == "i'm f- 2002 side b"
    assert speaker_of(cut) == "1001"
    path = corpus / "LDC97S62/swb1/d2/data/sw02002.sph"
    samples = soundfile.read(path, dtype="int16")[0]
    assert np.array_equal(read_cut(cut, 8000), samples[8000:20000, 1])
    last = cuts["sw2001A-ms98-a-0004"]
    assert text_of(last) == "i b m and nasa"
    assert last.end == 10.0, "it is cut at the end of the recording"
    ids = {name: {c.id[2:6] for c in open_set(data, [name])} for name in ("train", "dev")}
    assert ids == {"train": {"2001", "2002"}, "dev": {"2003"}}


def test_test_sets_are_the_segments_of_their_stm_files(corpus: Path, tmp_path: Path) -> None:
    add_test_sets(corpus)
    found = prepare("find", corpus)
    assert "found 3 conversations, transcripts of 6 sides" in found
    assert "hub5e_00: found" in found
    assert "hub5e_01: not there (LDC: LDC2002S13)" in found
    data = tmp_path / "data"
    prepare("manifests", corpus, data)
    cuts = {cut.id: cut for cut in open_set(data, ["hub5e_00"])}
    stm = read_hub5_stm(data / "scoring" / "hub5e_00.stm")
    assert list(cuts) == [segment.id for segment in stm.segments]
    assert {name: text_of(cut) for name, cut in cuts.items()} == {
        "sw_4390-A-00001000-00002000": "i am %hesitation here wor-",
        "sw_4390-B-00002500-00003250": "gonna go",
        "en_4156-B-00003000-00004000": "%hesitation",
    }
    cut = cuts["sw_4390-B-00002500-00003250"]
    assert (cut.start, cut.duration, cut.channel, speaker_of(cut)) == (2.5, 0.75, 1, "sw_4390-B")
    assert (data / "scoring" / "hub5e_00.glm").read_text().startswith("UH =>")
    rt03 = {cut.id: cut.channel for cut in open_set(data, ["rt03s"])}
    assert rt03 == {"fsh_60386-B-00001000-00002000": 1, "sw_45097-B-00001000-00002000": 1}


def test_speakers_are_never_shared(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    pairs = {
        str(2000 + i): (str(a), str(b))
        for i, (a, b) in enumerate(random.integers(0, 80, (200, 2)).tolist())
    }
    dev, lost = held_out(pairs, 4)
    assert len(dev) == 4
    assert len(lost) < 40

    def callers(numbers: Sequence[str]) -> set[str]:
        return {caller for number in numbers for caller in pairs[number]}

    train = sorted(pairs.keys() - dev - lost)
    assert not callers(train) & callers(sorted(dev))
    assert all(callers([number]) & callers(sorted(dev)) for number in lost)
    assert held_out(pairs, 4) == (dev, lost), "the same every time"
    assert held_out({"1": ("a", "b"), "2": ("a", "c"), "3": ("d", "e")}, 1) == ({"3"}, set())
    assert held_out({"1": ("a", "b")}, 5) == ({"1"}, set())


def test_compressed_audio_is_expanded_first(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = corpus / "LDC97S62/sw2/data/sw02003.sph"
    whole = path.read_bytes()
    header = b"NIST_1A\n   1024\nsample_coding -s27 ulaw,embedded-shorten-v2.00\nend_head\n"
    path.write_bytes(header.ljust(1024) + bytes(99))
    data = tmp_path / "data"
    message = prepare("expand", corpus, data)
    assert "1 files are shorten-compressed SPHERE, such as" in message
    assert "sw02003.sph: install sph2pipe" in message
    (tmp_path / "bin").mkdir()
    (tmp_path / "whole.sph").write_bytes(whole)
    tool = tmp_path / "bin" / "sph2pipe"
    tool.write_text(f'#!/bin/sh\n[ "$1 $2" = "-f sph" ] && cp {tmp_path}/whole.sph "$4"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    assert "expanded 1 files" in prepare("expand", corpus, data)
    assert "expanded 0 files, 1 were" in prepare("expand", corpus, data)
    prepare("manifests", corpus, data)
    assert len(open_set(data, ["dev"])) == 4
    tool.write_text("#!/bin/sh\necho it is broken >&2; exit 1\n")
    (data / "expanded" / "sw02003.sph").unlink()
    assert "failed: it is broken" in prepare("expand", corpus, data)


def test_what_is_missing_or_damaged_is_named(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    assert "nowhere is missing" in prepare("find", tmp_path / "nowhere")
    write_side(corpus, "2001A", "0.0 1.0 [music] yes", "1.0 2.0 yes")
    with caplog.at_level(logging.WARNING):
        prepare("manifests", corpus, data)
    assert "sw2001A-ms98-a-0001 is left out: '[music]' does not follow" in caplog.text
    write_side(corpus, "2001A", "from 1.0 yes")
    assert "trans.text, line 1: expected name, start, end" in prepare("manifests", corpus, data)
    add_test_sets(corpus)
    write_side(corpus, "2001A", "0.0 1.0 yes")
    (corpus / "LDC2007S10/data/trans_rules/en20030506.glm").unlink()
    assert "can't be scored without mapping rules" in prepare("manifests", corpus, data)
    for number in (2002, 2003):
        for side in "AB":
            write_side(corpus, f"{number}{side}", "0.0 1.0 [silence]")
    assert "all of the 1 conversations share speakers" in prepare("manifests", corpus, data)
    table = corpus / "LDC97S62" / "docs" / "conv_tab.csv"
    table.write_text("2001, Y\n")
    assert "conv_tab.csv, line 1: expected conversation" in prepare("manifests", corpus, data)
    table.unlink()
    assert "has no conv_tab.csv" in prepare("manifests", corpus, data)
