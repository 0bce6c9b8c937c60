"""`asrkit lexicon`: where pronunciations are from, and what is told about those that lack."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from asrkit.cli import main
from asrkit.data.manifests import Source, write_manifest
from asrkit.hmm.lexicon_files import read_lexicon

SOUNDS = {"A": "AH0", "B": "B", "D": "D", "O": "OW1"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Returns a data folder with a set of two sentences, and dictionaries beside it."""
    audio = tmp_path / "a.wav"
    soundfile.write(audio, np.ones(8000, np.int16), 16000)
    texts = ["bad abba bad", "dodo xab bad"]
    sources = [Source(f"u{i}", audio, text, "s") for i, text in enumerate(texts)]
    write_manifest(tmp_path / "data", "train", sources)
    words = ["".join(w) for n in (1, 2, 3, 4) for w in itertools.product("ABDO", repeat=n)]
    lines = [f"{w} {' '.join(SOUNDS[x] for x in w)}" for w in words if w not in ("ABBA", "DODO")]
    (tmp_path / "lexicon.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "data"


def run(data: Path, *options: str) -> str:
    arguments = ["lexicon", "--data", str(data), "--name", "mine", *options]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_words_of_a_file_in_another_case_and_what_it_lacks(data: Path) -> None:
    said = run(data, "--set", "train", "--from", str(data.parent / "lexicon.txt"))
    assert "1 words, 1 pronunciations, 3 phones" in said
    assert "3 of 4 words have no pronunciation, 50.0 % of the text's 6" in said
    missing = (data / "lexicon" / "mine.missing.txt").read_text(encoding="utf-8")
    assert missing == "abba 1\ndodo 1\nxab 1\n"
    lexicon = read_lexicon(data / "lexicon" / "mine.txt")
    assert [one.phones for one in lexicon["bad"]] == [("B", "AH", "D")]


def test_g2p_pronounces_what_the_file_lacks(data: Path) -> None:
    pytest.importorskip("kaldifst")
    source = ["--from", str(data.parent / "lexicon.txt"), "--stress", "--g2p"]
    said = run(data, "--set", "train", *source)
    assert "2 from G2P" in said
    assert "1 of 4 words have no pronunciation, 16.7 % of the text's 6: xab (1)" in said
    lexicon = read_lexicon(data / "lexicon" / "mine.txt", stress=True)
    assert [one.phones for one in lexicon["dodo"]] == [("D", "OW1", "D", "OW1")]
    assert (data / "lexicon" / "mine.g2p.arpa.gz").is_file()


def test_letters_are_phones_of_the_most_frequent_words(data: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("xab xab xab\n", encoding="utf-8")
    options = ["--set", "train", "--text", str(text), "--size", "2", "--from", "graphemes"]
    assert "all 2 words have a pronunciation" in run(data, *options)
    assert list(read_lexicon(data / "lexicon" / "mine.txt")) == ["xab", "bad"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from", "graphemes"], "a lexicon needs words: name a set (--set) or a text file"),
        (["--set", "train", "--from", "nowhere.txt"], "nowhere.txt"),
        (["--set", "other", "--from", "graphemes"], "there is no set 'other'"),
    ],
)
def test_bad_input_gets_one_message(data: Path, options: list[str], message: str) -> None:
    arguments = ["lexicon", "--data", str(data), "--name", "mine", *options]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not (data / "lexicon").exists()
