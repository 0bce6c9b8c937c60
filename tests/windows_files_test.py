"""Every reader takes files as Windows saves them, and separators of Unicode as text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asrkit.config.yaml_loader import load
from asrkit.data.alignments import read_alignments
from asrkit.data.frame_targets import FrameTargets
from asrkit.data.manifests import Source, manifest_path, open_set, read_unusable, write_manifest
from asrkit.data.stm import read_stm
from asrkit.files import read_lines
from asrkit.lm.arpa import read_arpa
from asrkit.run_files import read_nbest
from asrkit.scoring.nist.ctm import read_ctm
from asrkit.scoring.nist.glm import read_glm
from asrkit.scoring.nist.hub5_stm import read_hub5_stm
from asrkit.text.isip import read_dictionary
from asrkit.text.outputs import Outputs
from asrkit.text.tokenizers import CharacterTokenizer, WordTokenizer
from asrkit.text.vocabulary import Vocabulary
from asrkit.training.metrics import read_log
from recipes.an4 import prepare as an4
from recipes.librispeech import prepare as librispeech
from recipes.switchboard import prepare as switchboard

NBEST = {"id": "a", "speaker": "s", "reference": "x", "text": "x", "hypotheses": []}
TARGETS = FrameTargets(Outputs.labels_with_blank(Vocabulary(["a"])))
EPOCH = {"epoch": 1, "seconds": 1.0, "step": 1, "lr": 0.1, "train": {}, "dev": {}}
ARPA = "\\data\\\nngram 1=3\n\n\\1-grams:\n-1\t<s>\n-1\t</s>\n-1\tx\n\n\\end\\\n"
READERS: dict[str, tuple[str, Callable[[Path], Any], Any]] = {
    "text": ("x\ny\n", lambda p: list(read_lines(p)), ["x", "y"]),
    "stm": ("a 1 s 0 1 <o> x\n", lambda p: [s.recording for s in read_stm(p)], ["a"]),
    "hub5 stm": (
        ';; LABEL "o" "All" "All of it"\na 1 s 0 1 <o> x\n',
        lambda p: (read_hub5_stm(p).titles, len(read_hub5_stm(p).segments)),
        ({"o": "All"}, 1),
    ),
    "ctm": ("a 1 0 1 x\n", lambda p: [w.recording for w in read_ctm(p)], ["a"]),
    "glm": ("[X] => [Y]\n", lambda p: read_glm(p).reference("x"), "Y"),
    "arpa": (ARPA, lambda p: read_arpa(p).symbols, ["<s>", "</s>", "x"]),
    "words": ("x\ny\n", lambda p: WordTokenizer(p.parent, p.stem).vocabulary.symbols, ["x", "y"]),
    "characters": ("x\n", lambda p: CharacterTokenizer(p.parent, p.stem).vocabulary.symbols, ["x"]),
    "dictionary": ("IBM ay b\nI ay\nB b\nM m\n", lambda p: read_dictionary(p)("IBM"), False),
    "alignments": (
        "a\t1\t0 -\n",
        lambda p: read_alignments([p], TARGETS).of("a", 1.0).tolist(),
        [0, 1],
    ),
    "unusable": ("a\tb\tc\n", lambda p: [u.id for u in read_unusable(p)], ["a"]),
    "log": (json.dumps(EPOCH) + "\n", lambda p: [e["epoch"] for e in read_log(p)], [1]),
    "n-best": (json.dumps(NBEST) + "\n", lambda p: [e.id for e in read_nbest(p)], ["a"]),
    "spec": ("a: 1\n", lambda p: load(p).tree, {"a": 1}),
    "librispeech": ("a X Y\n", lambda p: librispeech.read_transcripts(p), {"a": "X Y"}),
    "switchboard": (
        "sw2001A-1 0.0 1.0 hi\n",
        lambda p: list(switchboard.read_transcript(p)),
        [("sw2001A-1", 0.0, 1.0, "hi")],
    ),
}


@pytest.mark.parametrize("kind", READERS)
def test_byte_order_marks_and_line_ends_of_windows_are_no_text(tmp_path: Path, kind: str) -> None:
    text, read, wanted = READERS[kind]
    path = tmp_path / "file.txt"
    for content in (text, "\ufeff" + text.replace("\n", "\r\n")):
        path.write_bytes(content.encode())
        assert read(path) == wanted


def test_a_corpus_saved_on_windows_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    files = {"fileids": ["an4/s/u1", "an4/s/u2"], "transcription": ["<s> A </s> (u1)", "B (u2)"]}
    for kind, lines in files.items():
        text = "\ufeff" + "".join(f"{line}\r\n" for line in lines)
        (tmp_path / "etc" / f"an4_train.{kind}").write_bytes(text.encode())
    found = {source.id: source.text for source in an4.read_part(tmp_path, "train")}
    assert found == {"s-u1": "A", "s-u2": "B"}


def test_transcripts_with_separators_of_unicode_stay_whole(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.arange(1600, dtype=np.int16), 16000)
    texts = [f"ONE{sign} TWO" for sign in ("", "\x85", "\u2028", "\x0c", "\x1c", "\u2029", "\x0b")]
    lines = "".join(f"{n} {text}\n" for n, text in enumerate(texts))
    (tmp_path / "t.txt").write_bytes(lines.encode())
    found = librispeech.read_transcripts(tmp_path / "t.txt")
    assert list(found.values()) == texts
    sources = [Source(name, tmp_path / "a.wav", text, "s") for name, text in found.items()]
    assert write_manifest(tmp_path, "train", sources) == len(texts)
    path = manifest_path(tmp_path, "train")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    cuts = list(open_set(tmp_path, ["train"]))
    assert [cut.supervisions[0].text.split() for cut in cuts] == [["ONE", "TWO"]] * len(texts)


def test_hidden_files_beside_a_corpus_are_no_utterances(tmp_path: Path) -> None:
    chapter = tmp_path / "LibriSpeech" / "train-clean-5" / "1" / "2"
    chapter.mkdir(parents=True)
    for name in ("1-2-0.flac", "._1-2-0.flac", ".DS_Store"):
        (chapter / name).touch()
    (chapter / "1-2.trans.txt").write_text("1-2-0 HI\n")
    (chapter.parent / ".AppleDouble").mkdir()
    (chapter.parent / ".AppleDouble" / "x.flac").touch()
    assert [s.id for s in librispeech.read_part(tmp_path, "train-clean-5")] == ["1-2-0"]
