"""Features of other toolkits as sets: what is taken, what is left out and why."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import kaldi_native_io as kaldi
import numpy as np
import pytest
from click.testing import Result

from asrkit.data.feature_sets import read_features
from asrkit.data.manifests import open_set
from tests.corpora.corpora_test import asrkit, reasons, said, texts, write


def make(*words: object) -> Result:
    return asrkit("data", "features", *words)


def drawn(*rows: int) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.normal(size=(count, 4)).astype("f4") for count in rows]


def arrays(data: Path, name: str = "train") -> dict[str, np.ndarray]:
    return {cut.id: read_features(cut) for cut in open_set(data, [name])}


@pytest.fixture
def kaldi_folder(tmp_path: Path) -> Path:
    """A data folder of Kaldi with three utterances of two speakers."""
    folder = tmp_path / "kaldi" / "train"
    folder.mkdir(parents=True)
    with kaldi.CompressedMatrixWriter(f"ark,scp:{folder}/f.ark,{folder}/feats.scp") as writer:
        for name, frames in zip("abc", drawn(20, 30, 40), strict=True):
            writer.write(name, frames, kaldi.CompressionMethod.kTwoByteAuto)
    write(folder / "text", "a one  two", "b three", "c four")
    write(folder / "utt2spk", "a s", "b s", "c t")
    return folder


def test_a_folder_of_kaldi_becomes_a_set(kaldi_folder: Path, tmp_path: Path) -> None:
    write(kaldi_folder / "frame_shift", "0.02")
    done = make(kaldi_folder, "--data", tmp_path / "data")
    assert done.exit_code == 0, done.output
    assert "train: 3 utterances, 0.00 hours, of 2 speakers; 0 left out" in said(done)
    assert texts(tmp_path / "data") == {"a": "one two", "b": "three", "c": "four"}
    cuts = list(open_set(tmp_path / "data", ["train"]))
    assert [cut.supervisions[0].speaker for cut in cuts] == ["s", "s", "t"]
    assert [cut.duration for cut in cuts] == [0.4, 0.6, 0.8]
    assert cuts[0].features.frame_shift == 0.02
    for (name, found), frames in zip(
        arrays(tmp_path / "data").items(), drawn(20, 30, 40), strict=True
    ):
        np.testing.assert_allclose(found, frames, atol=2e-4, err_msg=name)


def test_what_of_kaldi_can_not_be_used_is_listed(kaldi_folder: Path, tmp_path: Path) -> None:
    list_ = (kaldi_folder / "feats.scp").read_text().replace("c ", "e ")
    other = kaldi_folder / "other.ark"
    with kaldi.FloatMatrixWriter(f"ark:{other}") as writer:
        writer.write("wide", np.zeros((3, 5), "f4"))
        writer.write("nan", np.full((3, 4), np.nan, "f4"))
    nan = other.read_bytes().index(b"nan ") + 4
    write(
        kaldi_folder / "feats.scp",
        *list_.splitlines(),
        "piped copy-feats scp:x ark:- |",
        f"gone {tmp_path}/gone.ark:5",
        f"off {kaldi_folder}/f.ark:7",
        f"wide {other}:5",
        f"nan {other}:{nan}",
    )
    write(
        kaldi_folder / "text",
        *(f"{n} x" for n in ("a", "c", "piped", "gone", "off", "wide", "nan")),
        "b",
    )
    done = make(kaldi_folder, "--data", tmp_path / "data")
    assert done.exit_code == 0, done.output
    assert texts(tmp_path / "data") == {"a": "x"}
    assert reasons(tmp_path / "data") == {
        "b": "empty text",
        "c": "text without features",
        "e": "no transcript",
        "piped": "features by a command",
        "gone": "unreadable features",
        "off": "unreadable features",
        "wide": "another number of features",
        "nan": "impossible features",
    }
    failed = make(kaldi_folder, "--data", tmp_path / "data", "--set", "all", "--whole")
    assert failed.exit_code == 2
    assert "8 of 9 utterances can't be used" in said(failed)
    assert not (tmp_path / "data" / "manifests" / "all.jsonl").exists()
    assert not (tmp_path / "data" / "features" / "all").exists()


def test_sums_of_speakers_normalise(
    kaldi_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done = make(kaldi_folder, "--data", tmp_path / "plain", "--cmvn", "mean")
    assert "has no cmvn.scp, which --cmvn mean needs" in said(done)
    first, second, third = drawn(20, 30, 40)
    of_speakers = {"s": np.concatenate([first, second]), "t": third}
    with kaldi.DoubleMatrixWriter(f"ark,scp:{tmp_path}/c.ark,{kaldi_folder}/cmvn.scp") as writer:
        for name, frames in of_speakers.items():
            sums = np.zeros((2, 5))
            sums[:, :-1] = frames.sum(0), (frames**2).sum(0)
            sums[0, -1] = len(frames)
            writer.write(name, sums)
    assert make(kaldi_folder, "--data", tmp_path / "plain").exit_code == 0
    assert "without cmvn.scp; --cmvn mean applies it" in caplog.text
    options = ("--data", tmp_path / "data", "--cmvn")
    assert make(kaldi_folder, *options, "mean").exit_code == 0
    found = arrays(tmp_path / "data")
    np.testing.assert_allclose(found["b"], second - of_speakers["s"].mean(0), atol=1e-3)
    assert make(kaldi_folder, *options, "mean-variance").exit_code == 0
    found = arrays(tmp_path / "data")
    np.testing.assert_allclose(found["c"].std(0), 1, atol=1e-3)
    write(kaldi_folder / "utt2spk", "a s", "b s", "c u")
    assert make(kaldi_folder, *options, "mean").exit_code == 0
    assert reasons(tmp_path / "data") == {"c": "unreadable features"}


def test_an_archive_has_its_words_elsewhere(
    kaldi_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = (kaldi_folder / "f.ark", "--data", tmp_path / "data")
    assert "the transcript is missing" in said(make(*place))
    write(tmp_path / "text", "a one", "b two", "z three")
    done = make(*place, "--text", tmp_path / "text", "--utt2spk", kaldi_folder / "utt2spk")
    assert done.exit_code == 0, done.output
    assert texts(tmp_path / "data") == {"a": "one", "b": "two"}
    assert reasons(tmp_path / "data") == {"c": "no transcript"}
    assert "1 of 4 names with a transcript or speaker have no features, such as z" in caplog.text
    assert "there is no text file" in said(make(*place, "--text", tmp_path / "none"))
    write(tmp_path / "text", "a one", "a two")
    assert "expected each name once" in said(make(*place, "--text", tmp_path / "text"))


def test_audio_by_commands_points_to_the_features(kaldi_folder: Path, tmp_path: Path) -> None:
    write(kaldi_folder / "wav.scp", *(f"{name} sph2pipe {name}.sph |" for name in "abc"))
    failed = asrkit("data", "kaldi", kaldi_folder, "--data", tmp_path / "data")
    assert failed.exit_code == 2
    assert "or take the features of feats.scp: `asrkit data features`" in said(failed)


def test_options_without_meaning_are_refused(kaldi_folder: Path, tmp_path: Path) -> None:
    place = (kaldi_folder, "--data", tmp_path / "data")
    done = make(*place, "--text", kaldi_folder / "text")
    assert "--text has a meaning for folders of arrays and archives and caches alone" in said(done)
    done = make(kaldi_folder / "f.ark", "--data", tmp_path / "data", "--cmvn", "mean")
    assert "--cmvn has a meaning for Kaldi data folders (with feats.scp) alone" in said(done)
    done = make(kaldi_folder / "text", "--data", tmp_path / "data")
    assert "has no features that can be read" in said(done)
    write(kaldi_folder / "frame_shift", "ten")
    assert "expected seconds between frames, got 'ten'" in said(make(*place))


def test_folders_of_arrays_become_a_set(tmp_path: Path) -> None:
    folder = tmp_path / "arrays"
    for name, frames in zip(("s/a", "s/b", "t/a"), drawn(20, 30, 40), strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{name}.npy", frames.astype("f8"))
        write(folder / f"{name}.txt", f"it is {name[-1]}")
    np.save(folder / "flat.npy", np.zeros(7))
    write(folder / "flat.txt", "x")
    np.save(folder / "words.npy", np.array([["x"]]))
    np.save(folder / "objects.npy", np.array([[None]]), allow_pickle=True)
    (folder / "cut.npy").write_bytes((folder / "s" / "a.npy").read_bytes()[:-8])
    for name in ("words", "objects", "cut"):
        write(folder / f"{name}.txt", "x")
    done = make(folder, "--data", tmp_path / "data", "--speakers")
    assert done.exit_code == 0, done.output
    assert "of 2 speakers" in said(done)
    assert texts(tmp_path / "data") == {"s/a": "it is a", "s/b": "it is b", "t/a": "it is a"}
    assert np.array_equal(arrays(tmp_path / "data")["t/a"], drawn(20, 30, 40)[2])
    assert reasons(tmp_path / "data") == {
        "flat": "no features",
        "words": "unreadable features",
        "objects": "unreadable features",
        "cut": "unreadable features",
    }
    (tmp_path / "none").mkdir()
    assert "has no .npy files" in said(make(tmp_path / "none", "--data", tmp_path / "data"))


def entry(name: str, frames: np.ndarray, shift: float, packed: bool) -> bytes:
    """Returns the features of a segment as RASR caches them."""
    content = struct.pack("<I10sI", 10, b"vector-f32", len(frames))
    for index, row in enumerate(frames):
        begin = 0.0025 + index * shift
        content += struct.pack(f"<I{len(row)}f2d", len(row), *row, begin, begin + 0.025)
    small = zlib.compress(content) if packed else b""
    return (
        struct.pack("<II", 0xAA55AA55, len(name)) + name.encode()
        + struct.pack("<III", len(content), len(small), 0) + (small or content)
        + struct.pack("<I", 0x55AA55AA)
    )  # fmt: skip


CORPUS = """<?xml version="1.0" encoding="utf-8"?>
<corpus name="c">
  <speaker-description name="s"><gender>male</gender></speaker-description>
  <recording name="r" audio="r.wav">
    <segment name="one" start="0" end="1"><speaker name="s"/><orth> one  two </orth></segment>
    <segment start="1" end="2"><speaker name="t"/><orth>three</orth></segment>
    <segment name="silent" start="2" end="3"/>
  </recording>
</corpus>
"""


@pytest.mark.parametrize("packed", [False, True])
def test_caches_of_rasr_become_a_set(tmp_path: Path, packed: bool) -> None:
    first, second, third = drawn(20, 1, 40)
    found = b"".join(
        entry(name, frames, 0.0125, packed)
        for name, frames in (("c/r/one", first), ("c/r/2", second))
    )
    (tmp_path / "f.cache.1").write_bytes(b"SP_ARC1\0\0" + found)
    (tmp_path / "f.cache.2").write_bytes(
        b"SP_ARC1\0\0" + entry("c/r/silent", third, 0.0125, packed)
    )
    write(tmp_path / "f.bundle", "f.cache.1", str(tmp_path / "f.cache.2"))
    (tmp_path / "corpus.xml.gz").write_bytes(gzip.compress(CORPUS.encode()))
    options = ("--data", tmp_path / "data", "--corpus", tmp_path / "corpus.xml.gz", "--last-part")
    assert "give --frame-shift 0.0125" in said(make(tmp_path / "f.bundle", *options))
    shifted = (*options, "--frame-shift", 0.0125)
    done = make(tmp_path / "f.bundle", *shifted)
    assert done.exit_code == 0, done.output
    assert texts(tmp_path / "data") == {"one": "one two", "2": "three"}
    assert reasons(tmp_path / "data") == {"silent": "no transcript"}
    assert np.array_equal(arrays(tmp_path / "data")["one"], first)
    speakers = [cut.supervisions[0].speaker for cut in open_set(tmp_path / "data", ["train"])]
    assert speakers == ["s", "t"]
    (tmp_path / "f.cache.1").write_bytes(b"SP_ARC1\0\0" + found[:-9])
    assert "is not a cache of features" in said(make(tmp_path / "f.cache.1", *shifted))
    write(tmp_path / "corpus.xml", "<corpus name='c'><recording>")
    bad = (*options[:3], tmp_path / "corpus.xml")
    assert "corpus.xml is not a corpus of RASR" in said(make(tmp_path / "f.cache.2", *bad))
