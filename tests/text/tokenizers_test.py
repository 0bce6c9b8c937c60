from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from asrkit.errors import UserError
from asrkit.text.tokenizers import (
    CharacterTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    WordTokenizer,
    train_tokenizer,
)
from asrkit.text.vocabulary import Vocabulary

TEXTS = ["THE CAT SAT ON THE MAT", "A CAT ATE THE RAT", "THE RAT AND THE BAT"]
KINDS: list[
    tuple[Literal["bpe", "unigram", "characters", "words"], type[Tokenizer], int | None]
] = [
    ("bpe", SentencePieceTokenizer, 24),
    ("unigram", SentencePieceTokenizer, 14),
    ("characters", CharacterTokenizer, None),
    ("words", WordTokenizer, None),
]


@pytest.mark.parametrize(("kind", "tokenizer", "size"), KINDS)
def test_texts_survive_and_unknown_symbols_are_named(
    tmp_path: Path,
    kind: Literal["bpe", "unigram", "characters", "words"],
    tokenizer: type[Tokenizer],
    size: int | None,
) -> None:
    train_tokenizer(kind, TEXTS, size, tmp_path, "units")
    units = tokenizer(tmp_path, "units")  # type: ignore[call-arg]
    for text in TEXTS:
        labels = units.encode(text)
        assert units.decode(labels) == text
        assert all(0 <= label < len(units.vocabulary) for label in labels)
        assert units.unknown_in(text) == []
    if size is not None:
        assert len(units.vocabulary) == size
    assert any("Z" in symbol for symbol in units.unknown_in("THE ZOO"))
    with pytest.raises(UserError, match="'THE ZOO' has .*Z.*normalise the text"):
        units.encode("THE ZOO")
    assert units.encode("") == []


def test_sizes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a bpe tokenizer of 5000 units can't be trained"):
        train_tokenizer("bpe", TEXTS, 5000, tmp_path, "units")
    with pytest.raises(UserError, match="needs a size"):
        train_tokenizer("bpe", TEXTS, None, tmp_path, "units")
    with pytest.raises(UserError, match="no text to train"):
        train_tokenizer("words", [" "], None, tmp_path, "units")


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no tokenizer file .*bpe.model; make it with"):
        SentencePieceTokenizer(tmp_path)
    (tmp_path / "bpe.model").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="is not a SentencePiece model"):
        SentencePieceTokenizer(tmp_path)
    (tmp_path / "characters.txt").write_text("a\nb\na\n")
    with pytest.raises(UserError, match="characters.txt: symbols occur twice"):
        CharacterTokenizer(tmp_path)


def test_a_vocabulary_has_labels_only() -> None:
    vocabulary = Vocabulary(["a", "b"], unknown="b")
    assert len(vocabulary) == 2
    assert vocabulary.id_of("z") == 1
    with pytest.raises(ValueError, match="is not in the vocabulary"):
        Vocabulary(["a"], unknown="z")
