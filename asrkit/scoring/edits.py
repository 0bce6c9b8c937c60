"""Edit operations between references and what was recognised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import kaldialign

from asrkit.records import Count
from asrkit.run_files import NbestLine

EMPTY = "*"
"""Stands where one of two aligned texts has no word."""


@dataclass(frozen=True)
class Errors:
    """Edit operations of some texts, and the number of reference words."""

    substitutions: Count = 0
    deletions: Count = 0
    insertions: Count = 0
    words: Count = 0

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


Kind = Literal["correct", "substitution", "deletion", "insertion"]


class AlignedWord(NamedTuple):
    """A reference word and a recognised one; None where the other has no counterpart."""

    reference: str | None
    found: str | None
    kind: Kind


@dataclass(frozen=True)
class Aligned:
    """The alignment of an utterance or segment.

    Args:
        id: Its name.
        speaker: Who speaks.
        errors: Word errors.
        characters: Character errors.
        words: Pairs of words.
        labels: Categories that an STM file puts it into.
    """

    id: str
    speaker: str
    errors: Errors
    characters: Errors
    words: list[AlignedWord]
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class AlignedSet:
    """The alignments of a set.

    Args:
        utterances: In the order of the set.
        titles: Of categories, by label.
        missing: Segments that were not decoded.
        scorer: What counted the errors.
    """

    utterances: list[Aligned]
    titles: Mapping[str, str] = field(default_factory=dict)
    missing: int = 0
    scorer: str = "asrkit"

    @property
    def errors(self) -> list[Errors]:
        """Word errors of each utterance."""
        return [each.errors for each in self.utterances]

    @property
    def speakers(self) -> list[str]:
        """Who speaks each utterance."""
        return [each.speaker for each in self.utterances]


class Aligner(Protocol):
    """Aligns the best hypotheses of the lines of an n-best file with references.

    `references` is a digest of its own references, empty where it takes those of the lines;
    `fills` says that what was not decoded counts as empty, so that no line need be there.
    """

    references: str
    fills: bool

    def __call__(self, lines: Sequence[NbestLine]) -> AlignedSet:
        """Returns the alignments."""
        ...

    def official(self, found: AlignedSet, lines: Sequence[NbestLine], out: Path) -> AlignedSet:
        """Returns them with the errors of an official program, if one is installed.

        Args:
            found: The alignments.
            lines: What was aligned.
            out: Folder for the program's reports.
        """
        ...


def align(reference: Sequence[str], found: Sequence[str]) -> list[tuple[str | None, str | None]]:
    """Returns a cheapest alignment of two token sequences, with None in the gaps."""
    # Tokens are numbered, so that no token can be mistaken for the gap.
    ids: dict[str, int] = {}
    numbered = [
        [ids.setdefault(token, len(ids) + 1) for token in text] for text in (reference, found)
    ]
    tokens: dict[int, str | None] = {number: token for token, number in ids.items()}
    tokens[0] = None
    pairs = kaldialign.align(numbered[0], numbered[1], 0)
    return [(tokens[a], tokens[b]) for a, b in pairs]


def count_errors(reference: Sequence[str], found: Sequence[str]) -> Errors:
    """Returns the fewest edit operations between two token sequences."""
    ids: dict[str, int] = {}
    numbered = [[ids.setdefault(token, len(ids)) for token in text] for text in (reference, found)]
    counts = kaldialign.edit_distance(numbered[0], numbered[1])
    return Errors(counts["sub"], counts["del"], counts["ins"], len(reference))


class WordAligner:
    """Aligns with the references of the n-best file, by the fewest edit operations."""

    references = ""
    fills = False

    def __call__(self, lines: Sequence[NbestLine]) -> AlignedSet:
        """Returns the alignments."""
        return AlignedSet(
            [
                Aligned(
                    line.id,
                    line.speaker,
                    count_errors(line.reference_words, line.words),
                    character_errors(line),
                    [_word(a, b) for a, b in align(line.reference_words, line.words)],
                )
                for line in lines
            ]
        )

    def official(self, found: AlignedSet, lines: Sequence[NbestLine], out: Path) -> AlignedSet:
        """Returns them as they are."""
        return found


def _word(reference: str | None, found: str | None) -> AlignedWord:
    if reference is None or found is None:
        return AlignedWord(reference, found, "insertion" if reference is None else "deletion")
    return AlignedWord(reference, found, "correct" if reference == found else "substitution")


def character_errors(line: NbestLine) -> Errors:
    """Returns the character errors of one line of an n-best file; spaces between words count."""
    return count_errors(list(" ".join(line.reference_words)), list(" ".join(line.words)))
