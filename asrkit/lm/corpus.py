"""Sentences as one long array of integers, in which n-grams are counted."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from asrkit.errors import UserError
from asrkit.lm.tables import BEGIN, END, UNKNOWN, SmallInts

UNKNOWN_ID, BEGIN_ID, END_ID = 0, 1, 2
"""Ids of `<unk>`, `<s>` and `</s>`; the words follow."""


@dataclass(frozen=True)
class Corpus:
    """Sentences, concatenated.

    Args:
        symbols: `<unk>`, `<s>`, `</s>`, then the words.
        tokens: (T,) ids of the words, `<s>` before and `</s>` after every sentence.
    """

    symbols: list[str]
    tokens: SmallInts

    @property
    def sentences(self) -> int:
        """Number of sentences."""
        return int((self.tokens == END_ID).sum())

    @property
    def words(self) -> int:
        """Number of words, without the ends of sentences."""
        return len(self.tokens) - 2 * self.sentences

    @property
    def unknown(self) -> int:
        """Number of words that are out of vocabulary."""
        return int((self.tokens == UNKNOWN_ID).sum())


class _Ids(dict[str, int]):
    """Ids of words; a new word gets the next id, or that of `<unk>` in a closed vocabulary."""

    def __init__(self, words: Sequence[str] | None) -> None:
        super().__init__({UNKNOWN: UNKNOWN_ID, BEGIN: BEGIN_ID, END: END_ID})
        self.closed = words is not None
        for word in words or ():
            if word in (BEGIN, END):
                raise UserError(
                    f"{word!r} is in the vocabulary, but marks the start or end of sentences"
                )
            self.setdefault(word, len(self))

    def __missing__(self, word: str) -> int:
        if self.closed:
            return UNKNOWN_ID
        return self.setdefault(word, len(self))


def index_sentences(
    sentences: Iterable[Sequence[str]], vocabulary: Sequence[str] | None = None
) -> Corpus:
    """Turns sentences into integers; empty sentences are left out.

    Args:
        sentences: The words, or label symbols, of each sentence.
        vocabulary: All words of the model, seen or not; others become `<unk>`, which is then
            counted like any word. Where null, the vocabulary is all words that occur.

    Raises:
        UserError: If there is no sentence, or one has `<s>` or `</s>` inside.
    """
    ids = _Ids(vocabulary)
    tokens = array("i")
    for number, sentence in enumerate(sentences, start=1):
        if not sentence:
            continue
        tokens.append(BEGIN_ID)
        tokens.extend(map(ids.__getitem__, sentence))
        if BEGIN in sentence or END in sentence:
            raise UserError(
                f"sentence {number} has {BEGIN} or {END} among its words "
                f"({' '.join(sentence)[:60]!r}); these mark its start and end and are added "
                "automatically: "
                "remove them from the text"
            )
        tokens.append(END_ID)
    if not tokens:
        raise UserError("there is no text to estimate n-grams from: all sentences are empty")
    return Corpus(list(ids), np.frombuffer(tokens, dtype=np.int32))
