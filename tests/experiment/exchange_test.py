"""Alignments of Kaldi and RASR come in and go out, bit for bit."""

from __future__ import annotations

import gzip
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from lhotse import MonoCut

from asrkit.cli import main
from asrkit.data.alignments import Alignments, read_file
from asrkit.data.feature_sets import write_feature_set
from asrkit.data.frame_targets import FrameTargets
from asrkit.data.manifests import Source, write_manifest
from asrkit.hmm.graphs import transitions_of
from asrkit.hmm.hmm_folder import Hmm, digest_of
from asrkit.run_folder import RunFolder
from asrkit.text.outputs import Outputs
from tests.hmm.toy import LEXICON, TOPOLOGY, TREE

TARGETS = FrameTargets(Outputs.states(TREE.num_states), rate="features")
TRANSITIONS = """Transition-state 1: phone = SIL hmm-state = 0 pdf = 0
 Transition-id = 1 p = 0.75 [self-loop]
 Transition-id = 2 p = 0.25 [0 -> 1]
Transition-state 2: phone = A hmm-state = 0 forward-pdf = 5 self-loop-pdf = 3
 Transition-id = 3 p = 0.5 [self-loop]
 Transition-id = 4 p = 0.5 [0 -> 1]
"""


def asrkit(*words: object) -> Result:
    return CliRunner().invoke(main, ["alignments", *map(str, words)])


def done(*words: object) -> Result:
    result = asrkit(*words)
    assert result.exit_code == 0, result.output
    return result


def refused(*words: object) -> str:
    result = asrkit(*words)
    assert result.exit_code == 2, result.output
    return " ".join(result.output.split())


def states_in(folder: Path, name: str = "train") -> dict[str, list[int]]:
    found = read_file(folder / "align" / f"{name}.safetensors")
    assert found is not None
    return {utterance: one.tolist() for (utterance, _), one in found.symbols.items()}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with an HMM and the alignments of a set."""
    Hmm(TREE, TOPOLOGY, transitions_of(TOPOLOGY, TREE), LEXICON).write(tmp_path / "run" / "hmm")
    found = Alignments(TARGETS, tree=digest_of(tmp_path / "run" / "hmm"))
    random = np.random.default_rng(1)
    for name, frames in (("b", 300), ("a-1", 1), ("c", 17)):
        found.add(name, 1.0, random.integers(0, TREE.num_states, frames))
    found.write(tmp_path / "run" / "align" / "train.safetensors")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("form", "file"),
    [
        ("kaldi", "a.ark"),
        ("kaldi", "a.ark.gz"),
        ("kaldi-text", "a.txt"),
        ("kaldi-text", "a.txt.gz"),
        ("rasr", "a.txt"),
        ("text", "a.tsv"),
    ],
)
def test_what_goes_out_comes_back_bit_for_bit(run: Path, form: str, file: str) -> None:
    path, back = run.parent / file, run.parent / "back"
    said = done("export", path, "--to", form, "--run", run, "--set", "train").output
    assert f"3 utterances, 318 frames, {TREE.num_states} classes" in said
    hmm = () if form == "text" else ("--hmm", run)
    source = form.removesuffix("-text") if form != "text" else form
    done("import", path, "--from", source, "--run", back, "--set", "train", *hmm)
    if form == "text":  # which does not know the tree
        assert states_in(back) == states_in(run)
    else:
        name = "align/train.safetensors"
        assert (back / name).read_bytes() == (run / name).read_bytes()
        assert digest_of(back / "hmm") == digest_of(run / "hmm")


def test_archives_are_written_as_kaldi_reads_them(run: Path) -> None:
    out = run.parent / "a"
    done("export", out, "--to", "kaldi", "--run", run, "--set", "train")
    first = states_in(run)["a-1"]
    integers = np.array(first, "<i4").tobytes()
    # As kaldi_native_io 1.23 writes it, too.
    assert out.read_bytes()[:18] == b"a-1 \0B\4\1\0\0\0\4" + integers + b"b "
    done("export", out, "--to", "kaldi-text", "--run", run, "--set", "train")
    assert out.read_text().startswith(f"a-1 {first[0]}\nb ")


def test_transitions_of_kaldi_become_pdfs(tmp_path: Path) -> None:
    (tmp_path / "transitions.txt").write_text(TRANSITIONS)
    (tmp_path / "ali.1.gz").write_bytes(gzip.compress(b"u1 1 1 2 4 3 \nu2 2\n"))
    options = ("--from", "kaldi", "--run", tmp_path / "run", "--set", "train")
    ids = ("--transitions", tmp_path / "transitions.txt")
    done("import", tmp_path / "ali.1.gz", *options, *ids)
    assert states_in(tmp_path / "run") == {"u1": [0, 0, 0, 5, 3], "u2": [0]}
    found = read_file(tmp_path / "run" / "align" / "train.safetensors")
    assert found is not None
    assert found.targets == FrameTargets(Outputs.states(6), rate="features")
    (tmp_path / "ali.2").write_text("u3 5\n")
    said = refused("import", tmp_path / "ali.2", *options, *ids)
    assert "utterance u3 has transition 5" in said
    assert "has 1 to 4: is it of another model?" in said
    assert "does not tell the transitions" in refused(
        "import", tmp_path / "ali.1.gz", *options, "--transitions", tmp_path / "ali.2"
    )


def test_allophones_of_rasr_become_tied_states(tmp_path: Path) -> None:
    tying = tmp_path / "tying"
    tying.write_text("a{#+b}@i.0 4\na{#+b}@i.1 2\n[SILENCE]{#+#}@i@f.0 0\n")
    path = tmp_path / "align.txt"
    lines = ["corpus/one\t0\t[SILENCE]{#+#}@i@f\t0", "corpus/one\t1\ta{#+b}@i\t0"]
    path.write_text(
        "\n".join(["# segment frame allophone state", *lines, lines[0].replace("one", "two")])
    )
    options = ("--from", "rasr", "--run", tmp_path / "run", "--set", "train")
    done("import", path, *options, "--state-tying", tying, "--last-part", "--states", 7)
    assert states_in(tmp_path / "run") == {"one": [0, 4], "two": [0]}
    done("import", path, *options, "--state-tying", tying)
    assert states_in(tmp_path / "run").keys() == {"corpus/one", "corpus/two"}
    assert "expected `segment frame tied state`" in refused("import", path, *options)
    path.write_text("one 0 b{#+b}@i 0\n")
    assert "has no state b{#+b}@i.0" in refused("import", path, *options, "--state-tying", tying)
    path.write_text("one 0 3\none 2 3\n")
    assert "align.txt:2: expected frame 1, got 2" in refused("import", path, *options)


def cache(entries: dict[str, list[tuple[int, list[int]]]], table: bool, packed: bool) -> bytes:
    """Returns a cache of RASR: by segment, runs of a byte and its numbers."""
    found, places = b"SP_ARC1\0" + struct.pack("<b", table), []
    for name, runs in entries.items():
        frames = sum(abs(run) for run, _ in runs)
        content = struct.pack("<I14sI8sI", 14, b"flow-alignment", 1, b"ALIGNRLE", frames)
        for run, numbers in runs:
            content += struct.pack(f"<b{len(numbers)}I", run, *numbers)
        small = zlib.compress(content) if packed else b""
        found += struct.pack("<II", 0xAA55AA55, len(name)) + name.encode()
        places.append((name, len(found), len(content), len(small)))
        found += struct.pack("<III", len(content), len(small), 0) + (small or content)
        found += struct.pack("<I", 0x55AA55AA)
    if table:
        at = len(found)
        found += struct.pack("<I", len(places))
        for name, place, size, small_size in places:
            found += struct.pack("<I", len(name)) + name.encode()
            found += struct.pack("<QII", place, size, small_size)
        found += struct.pack("<QQ", 0, at)
    return found


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("table", [False, True])
def test_caches_of_rasr_are_read(tmp_path: Path, table: bool, packed: bool) -> None:
    (tmp_path / "allophones").write_text("# all\n[SILENCE]{#+#}@i@f\na{#+b}@i\n")
    (tmp_path / "tying").write_text("a{#+b}@i.0 4\na{#+b}@i.1 2\n[SILENCE]{#+#}@i@f.0 0\n")
    second = 1 + (1 << 26)  # the second state of the second allophone
    runs = {"c/r/one": [(0, [0]), (-3, [0]), (2, [1, second])], "c/r/two": [(-1, [0])]}
    path = tmp_path / "align.cache"
    path.write_bytes(cache({**runs, "c/r/one.attribs": []}, table, packed))
    options = ("--from", "rasr", "--run", tmp_path / "run", "--set", "train", "--last-part")
    names = ("--allophones", tmp_path / "allophones", "--state-tying", tmp_path / "tying")
    done("import", path, *options, *names)
    assert states_in(tmp_path / "run") == {"one": [0, 0, 0, 4, 2], "two": [0]}
    assert "give the file of allophones" in refused("import", path, *options)
    path.write_bytes(cache({"x": [(1, [7])]}, table, packed))
    assert "has no allophone 7, but 2" in refused("import", path, *options, *names)
    path.write_bytes(cache({"x": [(-2, [0]), (0, [5]), (-1, [0])]}, table, packed))
    said = refused("import", path, *options, *names)
    assert "not a cache of alignments at x: frame 5 follows after 2 frames" in said
    path.write_bytes(path.read_bytes()[:-9])
    assert "is not a cache of alignments" in refused("import", path, *options, *names)


PHONES_CTM = """u1 1 0.00 0.10 A
u1 1 0.10 0.06 B
u1 1 0.20 0.004 C
u1 1 0.21 0.02 D
u9 1 0 1 A
"""
WORDS_CTM = """u1 1 0.02 0.12 ab
u1 1 0.14 0.06 d
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder whose only utterances have 26 and 30 frames."""
    cuts = [MonoCut(name, 0, 0.3, 0, recording=None) for name in ("u1", "u2")]
    sizes = {"u1": 26, "u2": 30}
    made = [(cut, np.zeros((sizes[cut.id], 2), np.float32)) for cut in cuts]
    write_feature_set(tmp_path / "data", "train", made)
    return tmp_path / "data"


def test_states_of_phones_and_words_whose_times_are_known(
    run: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, new = run.parent / "times.ctm", run.parent / "new"
    options = ("--run", new, "--set", "train", "--data", data, "--hmm", run)
    path.write_text(PHONES_CTM)
    done("import", path, "--from", "phones", *options)
    phones = TREE.owners()
    states = np.array(states_in(new)["u1"])
    names = [TREE.phones.names[phone] for phone in phones[states]]
    assert names == ["A"] * 10 + ["B"] * 6 + ["SIL"] * 5 + ["D"] * 2 + ["SIL"] * 3
    # Ten frames of three states have 4, 3 and 3; two frames have two states.
    assert np.unique(states[:10], return_counts=True)[1].tolist() == [4, 3, 3]
    assert len(set(states[21:23].tolist())) == 2
    assert "utterances of train are not in" in caplog.text
    assert ": 1, such as u2" in caplog.text
    assert ": 1, such as u9" in caplog.text
    path.write_text(WORDS_CTM)
    done("import", path, "--from", "words", *options)
    states = np.array(states_in(new)["u1"])
    names = [TREE.phones.names[phone] for phone in phones[states]]
    assert names == ["SIL"] * 2 + ["A"] * 6 + ["B"] * 6 + ["D"] * 6 + ["SIL"] * 6
    path.write_text("u1 1 0 1 zebra\n")
    assert "u1: there is no pronunciation of 'zebra'" in refused(
        "import", path, "--from", "words", *options
    )
    said = refused("import", path, "--from", "phones", *options)
    assert "the model has no phone 'zebra'; it has SIL, SPN, A" in said
    assert "needs --data and --hmm" in refused("import", path, "--from", "words", *options[:4])


def test_times_are_those_of_audio_that_is_played_slower(run: Path, data: Path) -> None:
    path, new, audio = run.parent / "times.ctm", run.parent / "slow", run.parent / "audio"
    audio.mkdir()
    soundfile.write(audio / "u1.wav", np.zeros(26 * 160, np.int16), 16000)
    write_manifest(audio, "train", [Source("u1", audio / "u1.wav", "AB", "s")])
    # The phone of 4 ms is a frame long when played slower.
    path.write_text(PHONES_CTM.replace("u1 1 0.20 0.004 C\n", ""))
    options = ("--from", "phones", "--run", new, "--set", "train", "--hmm", run)
    done("import", path, *options, "--data", audio, "--speed", 1, "--speed", 0.5)
    found = read_file(RunFolder(new).frames("train"))
    assert found is not None
    phones = TREE.owners()
    usual, slow = (phones[found.symbols["u1", speed].astype(int)] for speed in (1.0, 0.5))
    assert slow.tolist() == usual.repeat(2).tolist()
    said = refused("import", path, *options, "--data", data, "--speed", 0.5)
    assert "utterance u1 of train has features and no audio, so it has speed 1 only" in said


def test_what_can_not_be_exchanged_is_told(run: Path) -> None:
    folder = run.parent
    options = ("--from", "kaldi", "--run", folder / "new", "--set", "train")
    (folder / "a").write_text("u 1 x\n")
    assert "is not an archive of integers at or after utterance 'u': 'x' is not an integer" in (
        refused("import", folder / "a", *options)
    )
    (folder / "a").write_text("u 1 1\nv 1 1")
    assert "utterance 'v': its last line has no end" in refused("import", folder / "a", *options)
    (folder / "a").write_bytes(b"u \0B\4\x09\0\0\0\4\1\0\0\0")
    assert "is not an archive of integers" in refused("import", folder / "a", *options)
    (folder / "a").write_text("u 1\nu 2\n")
    assert "utterance u is there twice" in refused("import", folder / "a", *options)
    (folder / "a").write_text(f"u 1 {TREE.num_states}\n")
    said = refused("import", folder / "a", *options, "--hmm", run)
    assert f"state {TREE.num_states} of utterance u is not one of {TREE.num_states}" in said
    assert "there is no archive" in refused("import", folder / "none", *options)
    assert "--state-tying has no meaning for --from kaldi" in refused(
        "import", folder / "a", *options, "--state-tying", folder / "a"
    )
    out = ("export", folder / "out", "--to", "kaldi", "--set", "train", "--run")
    assert "no alignments at speed 0.9, but at [1.0]" in refused(*out, run, "--speed", 0.9)
    assert "there are no alignments" in refused(*out, folder)
    shutil.rmtree(run / "hmm")
    assert "has no hmm.json" in refused("import", folder / "a", *options, "--hmm", run)
