"""Spaces are spaces and unseen signs are nothing, for training, encoding and texts alike."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from asrkit.data.lm_text import capital_words, write_sentences
from asrkit.data.stm import parse_segment
from asrkit.data.text import encode_all
from asrkit.experiment.ngram import Splitter
from asrkit.files import read_lines
from asrkit.text.isip import words_of
from asrkit.text.normalization import normalized
from asrkit.text.references import unwritable
from asrkit.text.tokenizers import (
    CharacterTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    WordTokenizer,
    train_tokenizer,
)

TEXTS = ["ONE TWO", "TWO THREE FOUR", "FIVE ONE", "GRÜN TWO"]
SPACES = ["\u00a0", "\t", "\u3000", "\u2009", "\u2028", "\x85", "\x0c", "  ", "\u202f"]
UNSEEN = ["\u00ad", "\u200b", "\ufeff", "\u2060", "\u200e"]
Kind = Literal["bpe", "unigram", "characters", "words"]
KINDS: list[tuple[Kind, type[Tokenizer]]] = [
    ("bpe", SentencePieceTokenizer),
    ("unigram", SentencePieceTokenizer),
    ("characters", CharacterTokenizer),
    ("words", WordTokenizer),
]


def spelt() -> Iterator[str]:
    """Yields the first text with other spaces, and with signs that are not seen."""
    yield from (f"{space}ONE{space}TWO{space}" for space in SPACES)
    yield from (f"{sign}O{sign}NE{sign} T{sign}WO{sign}" for sign in UNSEEN)


def make(kind: Kind, cls: type[Tokenizer], texts: list[str], folder: Path) -> Tokenizer:
    size = 18 if kind in ("bpe", "unigram") else None
    train_tokenizer(kind, texts, size, folder, kind)
    tokenizer: Tokenizer = cls(folder, kind)  # type: ignore[call-arg]
    return tokenizer


def test_text_that_is_spaced_already_stays() -> None:
    for text in ["", "ONE", "IT'S ONE-TWO", "grün \u200c\u200d क्‍ष", "e\u0301"]:
        assert normalized(text) == text


@pytest.mark.parametrize(("kind", "cls"), KINDS)
def test_every_space_is_a_space_and_unseen_signs_are_nothing(
    tmp_path: Path, kind: Kind, cls: type[Tokenizer]
) -> None:
    tokenizer = make(kind, cls, TEXTS, tmp_path / "plain")
    odd = [text.replace(" ", space) for text, space in zip(TEXTS, SPACES, strict=False)]
    odd[0] = f"\ufeff{odd[0]}\u00ad"
    trained_on_odd = make(kind, cls, odd, tmp_path / "odd")
    assert trained_on_odd.vocabulary.symbols == tokenizer.vocabulary.symbols
    wanted = tokenizer.encode("ONE TWO")
    for text in spelt():
        assert tokenizer.unknown_in(text) == []
        assert tokenizer.encode(text) == wanted, ascii(text)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_lines_of_any_length_are_trained_on(tmp_path: Path, kind: Kind) -> None:
    texts = [*TEXTS, "Z" * 10 + " ONE" * 3000, "Q" + " ONE" * 1047 + " TW", "É" + " ONE" * 1048]
    assert [len(text.encode()) for text in texts[-2:]] == [4192, 4194]
    tokenizer = make(kind, SentencePieceTokenizer, texts, tmp_path)
    assert tokenizer.unknown_in("ZQÉ") == []


def test_lines_that_sentencepiece_leaves_out_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = make("bpe", SentencePieceTokenizer, [*TEXTS, "ZZZ ▅ ONE"], tmp_path)
    assert tokenizer.unknown_in("Z") == ["Z"]
    assert "without 1 of 5 texts" in caplog.text


def test_texts_for_language_models_are_read_alike(tmp_path: Path) -> None:
    tokenizer = make("words", WordTokenizer, TEXTS, tmp_path)
    found = encode_all([*spelt(), "\u00a0", "\ufeff"], tokenizer, "here")
    assert len(found) == len(list(spelt()))
    assert {tuple(found[index].tolist()) for index in range(len(found))} == {
        tuple(tokenizer.encode("ONE TWO"))
    }
    assert list(Splitter("words", None).split(spelt())) == [["ONE", "TWO"]] * len(found)
    (tmp_path / "text").write_text("".join(f"{t}\n" for t in spelt() if "\x85" not in t))
    write_sentences([tmp_path / "text"], tmp_path / "out.gz", capital_words)
    assert set(read_lines(tmp_path / "out.gz")) == {"ONE TWO"}


def test_references_in_other_notations_are_read_alike() -> None:
    assert {parse_segment(f"a 1 b 0 1 <o> {text}").text for text in spelt()} == {"ONE TWO"}
    assert {words_of(text.lower()) for text in spelt()} == {"one two"}


def test_references_that_cannot_be_written_are_counted(tmp_path: Path) -> None:
    tokenizer = make("characters", CharacterTokenizer, TEXTS, tmp_path)
    decomposed = unicodedata.normalize("NFD", "GRÜN")
    texts = ["ONE\u00a0TWO", decomposed, "one", "ONE", "ÉN", decomposed]
    found = unwritable("test", zip("abcdef", texts, strict=True), tokenizer)
    assert (found.total, found.count, found.first) == (6, 4, "b")
    assert found.otherwise == {"in the Unicode form NFC": 2, "in capitals": 1}
    said = str(found)
    assert said.startswith("test: 4 of 6 references have characters the tokenizer cannot write")
    assert "(U+0308)" in said
    assert "2 could be written in the Unicode form NFC; 1 could be written in capitals" in said


def test_what_a_vocabulary_lacks_is_said_with_every_tokenizer(tmp_path: Path) -> None:
    for kind, cls in KINDS:
        tokenizer = make(kind, cls, TEXTS, tmp_path)
        found = unwritable("test", [("a", "ONE"), ("b", "ÖNE")], tokenizer)
        assert found.count == 1, kind
