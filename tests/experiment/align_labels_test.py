"""Times of words from those of their labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrkit.experiment.align_labels import word_times
from asrkit.experiment.set_alignments import Timed
from asrkit.text.tokenizers import (
    CharacterTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    WordTokenizer,
    train_tokenizer,
)

TEXT = "AB C AB"
KINDS: dict[str, tuple[type[Tokenizer], int | None]] = {
    "characters": (CharacterTokenizer, None),
    "words": (WordTokenizer, None),
    "bpe": (SentencePieceTokenizer, 8),
    "unigram": (SentencePieceTokenizer, 5),
}


@pytest.mark.parametrize("kind", KINDS)
def test_words_last_from_their_first_label_to_their_last(tmp_path: Path, kind: str) -> None:
    made, size = KINDS[kind]
    train_tokenizer(kind, [TEXT] * 9, size, tmp_path, "test")  # type: ignore[arg-type]
    tokenizer = made(tmp_path, "test")  # type: ignore[call-arg]
    labels = tokenizer.encode(TEXT)
    spans = [(3 * number, 3 * number + 2) for number in range(len(labels))]
    found = word_times(tokenizer, labels, spans)
    assert [word.name for word in found] == TEXT.split()
    names = [tokenizer.vocabulary.symbols[label] for label in labels]
    spelt = ["".join(c for c in name if c.isalpha()) for name in names]
    filled = [n for n, letters in enumerate(spelt) if letters]
    assert found[-1].end == spans[filled[-1]][1]
    for one, after in zip(found, found[1:], strict=False):
        assert one.end <= after.begin
    inside = [
        "".join(
            s for s, (b, e) in zip(spelt, spans, strict=True) if word.begin <= b < e <= word.end
        )
        for word in found
    ]
    assert inside == TEXT.split()
    assert word_times(tokenizer, [], []) == []
    assert isinstance(found[0], Timed)
