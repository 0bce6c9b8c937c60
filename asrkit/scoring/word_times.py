"""How far two CTM files agree on when words begin and end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asrkit.errors import UserError
from asrkit.scoring.edits import align
from asrkit.scoring.nist.ctm import CtmWord, read_ctm

WITHIN = 0.05
"""Seconds that word boundaries may differ by, by custom."""
QUANTILES = 0.5, 0.9, 0.95, 0.99, 1.0
_Key = tuple[str, str]
"""Recording and channel."""
_ROUNDING = 1e-6
"""Files have milliseconds, so that differences are not exact."""


@dataclass(frozen=True)
class Differences:
    """How far some boundaries of words are apart.

    Args:
        boundaries: How many there are.
        within: Share of those that are not further apart than allowed.
        mean: Seconds by which the second file is later.
        quantiles: Seconds that so large a share is not further apart than, by share.
    """

    boundaries: int
    within: float
    mean: float
    quantiles: dict[str, float]

    def told(self, name: str) -> str:
        """Returns a line about the boundaries of a name."""
        quantiles = ", ".join(f"{at} {1000 * s:.0f} ms" for at, s in self.quantiles.items())
        return (
            f"{name}: {100 * self.within:.2f} % of {self.boundaries} within; second later by "
            f"{1000 * self.mean:+.1f} ms; {quantiles}"
        )


@dataclass(frozen=True)
class WordTimes:
    """What two CTM files have in common.

    Args:
        seconds: That boundaries may differ by.
        words: How many words are in both, at the same place of the text.
        words_within: Share of these of which neither begin nor end differs by more.
        other_words: How many words of the first and of the second have no partner.
        recordings: How many recordings are in both.
        lacking: Names of recordings that only the first and only the second file has.
        all: Differences of begins and ends.
        begins: Of the words' begins.
        ends: Of the words' ends.
    """

    seconds: float
    words: int
    words_within: float
    other_words: tuple[int, int]
    recordings: int
    lacking: tuple[list[str], list[str]]
    all: Differences
    begins: Differences
    ends: Differences

    def lines(self) -> list[str]:
        """Returns the report as text."""
        told = [
            f"{self.words} words of {self.recordings} recordings are in both files; without "
            f"partner: {self.other_words[0]} words of the first, {self.other_words[1]} of the "
            "second"
        ]
        for which, names in zip(("first", "second"), self.lacking, strict=True):
            if names:
                more = ", ..." if len(names) > 5 else ""
                told.append(f"only in the {which}: {len(names)}: {', '.join(names[:5])}{more}")
        parts = ("boundaries", self.all), ("begins", self.begins), ("ends", self.ends)
        limit = f"{1000 * self.seconds:.0f} ms"
        told.append(f"words ({limit}): {100 * self.words_within:.2f} % within, begin and end")
        return [*told, *(part.told(f"{name} ({limit})") for name, part in parts)]


def compare_word_times(first: Path, second: Path, seconds: float = WITHIN) -> WordTimes:
    """Compares the times of the words that two CTM files have in common.

    Where texts differ, words are paired by their edit distance, and only equal ones count.

    Args:
        first: A CTM file.
        second: Another one.
        seconds: That boundaries may differ by.

    Raises:
        UserError: If one is missing or damaged, or they have no word in common.
    """
    one, two = _by_recording(first), _by_recording(second)
    shared = [key for key in one if key in two]
    pairs = [pair for key in shared for pair in _paired(one[key], two[key])]
    if not pairs:
        raise UserError(f"{first} and {second} have no word of the same recording in common")
    times = np.array(
        [[a.start, b.start, a.start + a.duration, b.start + b.duration] for a, b in pairs]
    )
    begins, ends = times[:, 1] - times[:, 0], times[:, 3] - times[:, 2]
    return WordTimes(
        seconds,
        len(pairs),
        _share_within(np.maximum(np.abs(begins), np.abs(ends)), seconds),
        (_count(one) - len(pairs), _count(two) - len(pairs)),
        len(shared),
        (_names(one, two), _names(two, one)),
        _differences(np.concatenate([begins, ends]), seconds),
        _differences(begins, seconds),
        _differences(ends, seconds),
    )


def _by_recording(path: Path) -> dict[_Key, list[CtmWord]]:
    found: dict[_Key, list[CtmWord]] = defaultdict(list)
    for word in read_ctm(path):
        found[word.recording, word.channel].append(word)
    for words in found.values():
        words.sort(key=lambda word: word.start)
    return dict(found)


def _paired(first: list[CtmWord], second: list[CtmWord]) -> Iterator[tuple[CtmWord, CtmWord]]:
    """Yields the words that are the same in both."""
    left, right = iter(first), iter(second)
    for a, b in align([word.word for word in first], [word.word for word in second]):
        one = None if a is None else next(left)
        two = None if b is None else next(right)
        if one is not None and two is not None and a == b:
            yield one, two


def _count(words: dict[_Key, list[CtmWord]]) -> int:
    return sum(map(len, words.values()))


def _names(one: dict[_Key, list[CtmWord]], other: dict[_Key, list[CtmWord]]) -> list[str]:
    return [recording for recording, channel in one if (recording, channel) not in other]


def _differences(later: npt.NDArray[np.float64], seconds: float) -> Differences:
    apart = np.abs(later)
    found = np.quantile(apart, QUANTILES, method="higher")
    quantiles = {
        f"{100 * at:g} %": float(value) for at, value in zip(QUANTILES, found, strict=True)
    }
    return Differences(len(apart), _share_within(apart, seconds), float(later.mean()), quantiles)


def _share_within(apart: npt.NDArray[np.float64], seconds: float) -> float:
    return float((apart <= seconds + _ROUNDING).mean())
