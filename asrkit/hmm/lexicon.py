"""How words are pronounced: phones of every word, with the probability of each variant.

A lexicon may come from a file, from CMUdict or from spelling alone (each letter is a phone). Which
of the words that are needed it has, and which it lacks, is told by `coverage`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asrkit.errors import UserError
from asrkit.files import write_lines

NAMED = 10
"""So many words are named in a message; all of them where they are few."""


@dataclass(frozen=True)
class Pronunciation:
    """One way to say a word.

    Args:
        phones: At least one.
        probability: How likely it is among the word's; variants need not sum to 1.

    Raises:
        ValueError: If there is no phone, or the probability is not above 0.
    """

    phones: tuple[str, ...]
    probability: float = 1.0

    def __post_init__(self) -> None:
        if not self.phones:
            raise ValueError("a pronunciation needs at least one phone")
        if not 0 < self.probability < math.inf:
            raise ValueError(f"a pronunciation's probability must be > 0, got {self.probability}")

    @property
    def cost(self) -> float:
        """-log p."""
        return -math.log(self.probability)


@dataclass(frozen=True)
class Coverage:
    """Which words of a text a lexicon has.

    Args:
        words: Number of different words of the text.
        tokens: Number of its words, repeated ones too.
        missing: Words without pronunciation and how often they occur, frequent ones first.
    """

    words: int
    tokens: int
    missing: list[tuple[str, int]]

    @property
    def missing_tokens(self) -> int:
        """How many of the text's words can't be pronounced."""
        return sum(count for _, count in self.missing)

    def told(self) -> str:
        """Returns a sentence with counts, naming the most frequent missing words."""
        if not self.missing:
            return f"all {self.words} words have a pronunciation"
        named = ", ".join(f"{word} ({count})" for word, count in self.missing[:NAMED])
        more = ", ..." if len(self.missing) > NAMED else ""
        share = 100 * self.missing_tokens / self.tokens
        return (
            f"{len(self.missing)} of {self.words} words have no pronunciation, {share:.1f} % of "
            f"the text's {self.tokens}: {named}{more}"
        )


class Lexicon(Mapping[str, tuple[Pronunciation, ...]]):
    """Words and their pronunciations.

    Args:
        entries: The pronunciations of every word; equal ones are kept once, the likelier one.
        source: Where they are from, for messages.

    Raises:
        UserError: If there are none.
    """

    def __init__(
        self, entries: Mapping[str, Iterable[Pronunciation]], source: object = "the lexicon"
    ) -> None:
        self.source = source
        self._entries = {word: _distinct(found) for word, found in entries.items()}
        self._entries = {word: found for word, found in self._entries.items() if found}
        if not self._entries:
            raise UserError(f"{source} has no pronunciations")

    def __getitem__(self, word: str) -> tuple[Pronunciation, ...]:
        return self._entries[word]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def phones(self) -> list[str]:
        """All phones, sorted."""
        return sorted({p for found in self.values() for one in found for p in one.phones})

    def coverage(self, words: Iterable[str] | Mapping[str, int]) -> Coverage:
        """Returns which words of a text there are.

        Args:
            words: The text, repeated words too; or how often each word is there.
        """
        counts = Counter(words)
        missing = [(word, count) for word, count in counts.items() if word not in self]
        missing.sort(key=lambda pair: (-pair[1], pair[0]))
        return Coverage(len(counts), counts.total(), missing)

    def written_as(self, words: Iterable[str]) -> Lexicon:
        """Returns the lexicon in the case in which it has most of the words.

        Its own is kept where none is better than that.

        Args:
            words: What is to be pronounced.
        """
        wanted = set(words)
        cases: list[Callable[[str], str]] = [str, str.lower, str.upper]
        known = [sum(word in wanted for word in map(case, self)) for case in cases]
        case = cases[known.index(max(known))]
        if case is str:
            return self
        entries: dict[str, list[Pronunciation]] = {}
        for word, found in self.items():
            entries.setdefault(case(word), []).extend(found)
        return Lexicon(entries, self.source)

    def restricted(self, words: Iterable[str]) -> Lexicon:
        """Returns the lexicon of those of the words that are here.

        Raises:
            UserError: If none of them is.
        """
        kept = {word: self[word] for word in dict.fromkeys(words) if word in self}
        if not kept:
            raise UserError(
                f"{self.source} has none of the words that are needed; its own are written like "
                f"{', '.join(list(self)[:3])}: is it of another language or in another case?"
            )
        return Lexicon(kept, self.source)

    def joined(self, other: Mapping[str, Sequence[Pronunciation]]) -> Lexicon:
        """Returns a lexicon with the words of both; those that both have are this one's."""
        return Lexicon({**other, **self._entries}, self.source)

    def write(self, path: Path) -> None:
        """Writes a file of words, probabilities and phones, as Kaldi's lexiconp.txt."""
        write_lines(
            path,
            (
                f"{word} {one.probability:.8g} {' '.join(one.phones)}"
                for word, found in self.items()
                for one in found
            ),
        )


def grapheme_lexicon(words: Iterable[str]) -> Lexicon:
    """Returns a lexicon in which every letter or digit of a word is a phone.

    Other characters (apostrophes, hyphens) are not said; words of nothing else are left out, and
    so are missing from `coverage`.

    Raises:
        UserError: If no word has a letter.
    """
    spelt = {word: tuple(filter(str.isalnum, word)) for word in words}
    return Lexicon(
        {word: [Pronunciation(letters)] for word, letters in spelt.items() if letters}, "spelling"
    )


def _distinct(found: Iterable[Pronunciation]) -> tuple[Pronunciation, ...]:
    found = tuple(found)
    if len(found) < 2:
        return found
    best: dict[tuple[str, ...], Pronunciation] = {}
    for one in found:
        known = best.setdefault(one.phones, one)
        if one.probability > known.probability:
            best[one.phones] = one
    return tuple(best.values())
