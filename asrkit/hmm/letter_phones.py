"""Which phones each letter of a word stands for: found by EM over all divisions of a lexicon.

A letter stands for no phone, one or two (x: K S). All divisions of a word's phones among its
letters are summed over, by products of the probabilities of their pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asrkit.compiled import compiled

ITERATIONS = 8
MOST_PHONES = 2
FEWER = 0.1
"""Initial weight of pairs with two phones, of which there are many more, relative to others."""
Pair = tuple[str, tuple[str, ...]]
"""A letter and its phones."""
Ints = npt.NDArray[np.int32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Divided:
    """Words divided into pairs.

    Args:
        words: The pairs of each word that can be divided.
        left_out: How many words have more phones than two per letter.
        log_likelihoods: Per word, before every iteration.
    """

    words: list[list[Pair]]
    left_out: int
    log_likelihoods: list[float]


def divide(entries: Sequence[tuple[str, Sequence[str]]], iterations: int = ITERATIONS) -> Divided:
    """Divides the phones of words among their letters.

    Args:
        entries: Words and their phones.
        iterations: Of EM.

    Source: Jiampojamarn et al., "Applying many-to-many alignments and hidden Markov models to
    letter-to-phoneme conversion" (2007), with one letter and up to two phones per pair.
    """
    fitting = [(w, p) for w, p in entries if w and len(p) <= MOST_PHONES * len(w)]
    letters = sorted({letter for word, _ in fitting for letter in word})
    phones = sorted({phone for _, said in fitting for phone in said})
    spelt = _Flat.of([word for word, _ in fitting], letters)
    said = _Flat.of([pronounced for _, pronounced in fitting], phones)
    size = len(phones)
    # What a letter stands for: nothing, one phone (from 1 on), or two (after these).
    table = np.ones((len(letters), 1 + size + size * size))
    table[:, 1 + size :] = FEWER
    likelihoods = []
    for _ in range(iterations):
        table /= table.sum()
        table, total = _expected(spelt.values, spelt.ends, said.values, said.ends, table, size)
        likelihoods.append(total / max(len(fitting), 1))
    chosen = _best(spelt.values, spelt.ends, said.values, said.ends, table, size)
    words = []
    for number, (word, pronounced) in enumerate(fitting):
        counts = chosen[spelt.ends[number] : spelt.ends[number + 1]]
        ends = np.cumsum(counts).tolist()
        starts = [0, *ends[:-1]]
        words.append(
            [
                (letter, tuple(pronounced[start:end]))
                for letter, start, end in zip(word, starts, ends, strict=True)
            ]
        )
    return Divided(words, len(entries) - len(fitting), likelihoods)


@dataclass(frozen=True)
class _Flat:
    """Sequences of ids one after the other.

    Args:
        values: (N,) all ids.
        ends: (W + 1,) sequence w is values[ends[w]] .. values[ends[w + 1] - 1].
    """

    values: Ints
    ends: Ints

    @classmethod
    def of(cls, sequences: Sequence[Sequence[str]], symbols: Sequence[str]) -> _Flat:
        ids = {symbol: number for number, symbol in enumerate(symbols)}
        values = [ids[symbol] for sequence in sequences for symbol in sequence]
        ends = np.cumsum([0, *map(len, sequences)])
        return cls(np.array(values, np.int32), ends.astype(np.int32))


@compiled
def _column(phones: Any, place: int, count: int, size: int) -> int:
    """Returns the column of the table for `count` phones from a place on."""
    if count == 0:
        return 0
    if count == 1:
        return int(1 + phones[place])
    return int(1 + size + phones[place] * size + phones[place + 1])


@compiled
def _expected(
    letters: Any, letter_ends: Any, phones: Any, phone_ends: Any, table: Any, size: int
) -> tuple[Any, float]:
    """Returns the expected counts of all pairs, and the log-likelihood of the words."""
    counts, total = np.zeros_like(table), 0.0
    for word in range(len(letter_ends) - 1):
        spelt = letters[letter_ends[word] : letter_ends[word + 1]]
        said = phones[phone_ends[word] : phone_ends[word + 1]]
        after = _after(spelt, said, table, size)
        total += np.log(after[0, 0])
        before = np.zeros_like(after)
        before[0, 0] = 1.0 / after[0, 0]
        for i in range(len(spelt)):
            for j in range(len(said) + 1):
                for count in range(min(2, len(said) - j) + 1):
                    column = _column(said, j, count, size)
                    reached = before[i, j] * table[spelt[i], column]
                    before[i + 1, j + count] += reached
                    counts[spelt[i], column] += reached * after[i + 1, j + count]
    return counts, total


@compiled
def _after(spelt: Any, said: Any, table: Any, size: int) -> Any:
    """Returns the probability of what follows the first letters and phones of a word."""
    after = np.zeros((len(spelt) + 1, len(said) + 1))
    after[len(spelt), len(said)] = 1.0
    for i in range(len(spelt) - 1, -1, -1):
        for j in range(len(said) + 1):
            for count in range(min(2, len(said) - j) + 1):
                value = table[spelt[i], _column(said, j, count, size)]
                after[i, j] += value * after[i + 1, j + count]
    return after


@compiled
def _best(
    letters: Any, letter_ends: Any, phones: Any, phone_ends: Any, table: Any, size: int
) -> Any:
    """Returns how many phones each letter (N,) has in the best division of its word."""
    result = np.zeros(len(letters), np.int32)
    for word in range(len(letter_ends) - 1):
        first = letter_ends[word]
        spelt = letters[first : letter_ends[word + 1]]
        said = phones[phone_ends[word] : phone_ends[word + 1]]
        value = np.full((len(spelt) + 1, len(said) + 1), -1.0)
        taken = np.zeros((len(spelt) + 1, len(said) + 1), np.int32)
        value[0, 0] = 1.0
        for i in range(len(spelt)):
            for j in range(len(said) + 1):
                for count in range(min(2, len(said) - j) + 1):
                    new = value[i, j] * table[spelt[i], _column(said, j, count, size)]
                    if value[i, j] >= 0 and new > value[i + 1, j + count]:
                        value[i + 1, j + count], taken[i + 1, j + count] = new, count
        place = len(said)
        for i in range(len(spelt), 0, -1):
            result[first + i - 1] = taken[i, place]
            place -= taken[i, place]
    return result
