"""Words as letters, for hypotheses whose labels are parts of words: a tree of all words' letters.

A place in the tree is what has been written of a word. Place 0 is between words; the last place
stands for letters that no word begins with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from asrkit.errors import UserError
from asrkit.lm.tables import Bools, Floats, Ints
from asrkit.text.tokenizers import SPACE
from asrkit.text.vocabulary import Vocabulary

NO_LETTER = -1


class WordSpellings(nn.Module):
    """Follows labels through the letters of words.

    Args:
        words: The W words.
        scores: (W,) of each word: `best` is the highest of those below a place.
        unknown: (2,) which word stands for unknown ones, and its score.
        vocabulary: The V labels: a word begins where one begins with the sign of a space.

    Raises:
        UserError: If no label has that sign, or one has it later on.
    """

    begins: Tensor
    inside: Tensor
    first: Tensor
    letters: Tensor
    keys: Tensor
    word: Tensor
    best: Tensor

    def __init__(
        self,
        words: Sequence[str],
        scores: Floats,
        unknown: tuple[int, float],
        vocabulary: Vocabulary,
    ) -> None:
        super().__init__()
        begins, rests = _split(vocabulary)
        alphabet = {c: i for i, c in enumerate(sorted(set("".join([*words, *rests]))))}
        self._width = max(len(alphabet), 1)
        tree = _Tree(_letters(words, alphabet), scores, self._width)
        word = np.append(np.where(tree.word < 0, unknown[0], tree.word), unknown[0])
        best = np.append(tree.best, unknown[1])
        best[0] = 0.0  # between words nothing is expected yet
        arrays = {"begins": begins, "inside": np.flatnonzero(~begins), "keys": tree.keys}
        arrays |= {"letters": _letters(rests, alphabet), "word": word}
        for name, array in (arrays | {"best": best.astype(np.float32)}).items():
            self.register_buffer(name, torch.from_numpy(array.copy()), persistent=False)
        self._unknown = len(word) - 1
        start = torch.zeros(len(rests), dtype=torch.int64)
        self.register_buffer("first", self._walk(start, self.letters), persistent=False)

    def best_after_all(self, places: Tensor) -> Tensor:
        """Returns `best` (H, V) of the places after each label, from places (H,)."""
        kinds, inverse = places.unique(return_inverse=True)
        inner = self.best[self._unknown].repeat(len(kinds), len(self.begins))
        inner[:, self.inside] = self.best[self._inside(kinds)]
        return torch.where(self.begins, self.best[self.first], inner[inverse])

    def _inside(self, places: Tensor) -> Tensor:
        """Returns the places (K, I) after each label that begins no word, from places (K,).

        Few letters can follow a place: all but the first are looked up for few labels only.
        """
        letters = self.letters[self.inside]  # (I, L)
        each = torch.arange(self._width, device=places.device)
        after = self._walk(places[:, None], each[:, None])  # (K, letters of the alphabet)
        found = after[:, letters[:, 0]]  # (K, I)
        for column in letters.T[1:]:
            rows, labels = ((found != self._unknown) & (column != NO_LETTER)).nonzero(as_tuple=True)
            found[rows, labels] = self._walk(found[rows, labels], column[labels, None])
        return found

    def after(self, places: Tensor, labels: Tensor) -> Tensor:
        """Returns the places (H,) after labels (H,)."""
        inner = self._walk(places, self.letters[labels])
        return torch.where(self.begins[labels], self.first[labels], inner)

    def _walk(self, places: Tensor, letters: Tensor) -> Tensor:
        """Returns the places (..., V) behind letters (..., V, L) from places (..., V)."""
        for column in letters.unbind(-1):
            wanted = places * self._width + column
            rows = torch.searchsorted(self.keys, wanted).clamp(max=len(self.keys) - 1)
            known = (self.keys[rows] == wanted) & (places != self._unknown)
            moved = torch.where(known, rows + 1, self._unknown)
            places = torch.where(column == NO_LETTER, places, moved)
        return places


class _Tree:
    """The P places of words (W, L) of letters, and what is known of them.

    `keys` (P - 1,) hold place · letters + letter, in order: row r leads to place r + 1. `word` (P,)
    is the word that ends there, or -1; `best` (P,) the highest score of those below.
    """

    def __init__(self, letters: Ints, scores: Floats, width: int) -> None:
        places = np.zeros(len(letters), np.int64)
        sizes = (letters != NO_LETTER).sum(1)
        levels: list[Ints] = []
        count = 1
        ends = np.zeros(len(letters), np.int64)
        bests = [np.array([scores.max(initial=-np.inf)])]
        for depth in range(letters.shape[1]):
            longer = np.flatnonzero(sizes > depth)
            keys, found = np.unique(
                places[longer] * width + letters[longer, depth], return_inverse=True
            )
            places[longer] = count + found
            best = np.full(len(keys), -np.inf)
            np.maximum.at(best, found, scores[longer])
            levels.append(keys)
            bests.append(best)
            count += len(keys)
            done = sizes == depth + 1
            ends[done] = places[done]
        self.keys = np.concatenate([*levels, np.array([np.iinfo(np.int64).max])])
        self.word = np.full(count, -1, np.int64)
        self.word[ends] = np.arange(len(letters))
        self.word[0] = -1
        self.best = np.concatenate(bests)


def _split(vocabulary: Vocabulary) -> tuple[Bools, list[str]]:
    """Returns which labels (V,) begin a word, and their letters."""
    symbols = vocabulary.symbols
    begins = np.array([symbol.startswith(SPACE) for symbol in symbols])
    rests = [symbol.removeprefix(SPACE) for symbol in symbols]
    inside = [symbol for symbol, rest in zip(symbols, rests, strict=True) if SPACE in rest]
    if not begins.any() or inside:
        got = f"{inside[0]!r} has it inside" if inside else "none has"
        raise UserError(
            f"an n-gram model of words needs labels that are parts of words, of which some begin "
            f"with {SPACE!r}; {got}; for other labels make a model of them (`asrkit ngram --units`)"
        )
    return begins, rests


def _letters(words: Sequence[str], alphabet: dict[str, int]) -> Ints:
    """Returns the letters (W, L) of words, and `NO_LETTER` behind them."""
    found = np.full((len(words), max([1, *map(len, words)])), NO_LETTER, np.int64)
    for row, word in enumerate(words):
        found[row, : len(word)] = [alphabet[letter] for letter in word]
    return found
