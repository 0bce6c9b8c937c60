"""Edit operations between references and what was recognised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import kaldialign

EMPTY = "*"
"""Stands where one of two aligned texts has no word."""


@dataclass(frozen=True)
class Errors:
    """Edit operations of some texts, and the number of reference words."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    words: int = 0

    @property
    def total(self) -> int:
        """All edit operations."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per reference word in percent; 0 for two empty texts."""
        if not self.words:
            return 100.0 if self.total else 0.0
        return 100.0 * self.total / self.words

    def __add__(self, other: Errors) -> Errors:
        return Errors(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.words + other.words,
        )


class Aligned(NamedTuple):
    """Pairs of reference and recognised words, with EMPTY in the gaps, and their errors."""

    errors: Errors
    pairs: list[tuple[str, str]]


Aligner = Callable[[Sequence[dict[str, Any]]], list[Aligned]]
"""Aligns the best hypotheses of the lines of an n-best file."""


def align(reference: Sequence[str], found: Sequence[str]) -> list[tuple[str, str]]:
    """Returns a cheapest alignment of two token sequences, with EMPTY in the gaps."""
    # Tokens are numbered, so that no token can be mistaken for the gap.
    ids: dict[str, int] = {}
    numbered = [
        [ids.setdefault(token, len(ids) + 1) for token in text] for text in (reference, found)
    ]
    tokens = {number: token for token, number in ids.items()} | {0: EMPTY}
    pairs = kaldialign.align(numbered[0], numbered[1], 0)
    return [(tokens[a], tokens[b]) for a, b in pairs]


def count_errors(reference: Sequence[str], found: Sequence[str]) -> Errors:
    """Returns the fewest edit operations between two token sequences."""
    ids: dict[str, int] = {}
    numbered = [[ids.setdefault(token, len(ids)) for token in text] for text in (reference, found)]
    counts = kaldialign.edit_distance(numbered[0], numbered[1])
    return Errors(counts["sub"], counts["del"], counts["ins"], len(reference))


def align_words(lines: Sequence[dict[str, Any]]) -> list[Aligned]:
    """Aligns with the references of the n-best file, by the fewest edit operations."""
    return [
        Aligned(word_errors(line), align(line["reference"].split(), line["text"].split()))
        for line in lines
    ]


def word_errors(line: dict[str, Any]) -> Errors:
    """Returns the word errors of one line of an n-best file."""
    return count_errors(line["reference"].split(), line["text"].split())


def character_errors(line: dict[str, Any]) -> Errors:
    """Returns the character errors of one line of an n-best file; spaces between words count."""
    reference, found = (list(" ".join(line[key].split())) for key in ("reference", "text"))
    return count_errors(reference, found)
