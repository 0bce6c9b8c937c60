"""Word errors as NIST's sclite counts them, without sclite.

What differs from the plain edit distance of `asrkit.scoring.wer`: a substitution costs 4, a
deletion or insertion 3, so that long wrong passages may count more errors; reference words in
parentheses may be left out; `{ a / b c / @ }` allows a, b c, or nothing; upper and lower case are
the same; and words belong to segments by their times.

Source: the documentation and behaviour of SCTK 2.4, `sclite -D`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from ctypes import c_float
from dataclasses import dataclass

from asrkit.data.stm import Segment
from asrkit.scoring.ctm import CtmWord
from asrkit.scoring.wer import EMPTY, Aligned, Errors

NOTHING = "@"
"""The empty alternative."""
# Costs of a substitution, of a deletion or insertion, and of that of a word in parentheses; of
# taking the empty alternative, and of two of them opposite each other.
SUBSTITUTION, GAP, OPTIONAL_GAP, NOTHING_GAP, NOTHINGS = 4.0, 3.0, 2.0, 0.001, 1.0


@dataclass(frozen=True)
class Token:
    """A word that is folded to lower case; optional words stand in parentheses.

    Args:
        word: The word without parentheses.
        optional: Whether it may be left out.
    """

    word: str
    optional: bool = False

    @property
    def gap(self) -> float:
        """Cost of leaving the word without a partner."""
        if self.word == NOTHING:
            return NOTHING_GAP
        return OPTIONAL_GAP if self.optional else GAP

    def cost(self, other: Token) -> float:
        """Cost of standing opposite another word."""
        if self.word == other.word:
            return NOTHINGS if self.word == NOTHING else 0.0
        return SUBSTITUTION


@dataclass(frozen=True)
class Arc:
    """A word of the reference, and the arcs that may come before it; -1 is the start."""

    token: Token
    before: list[int]


def token_of(word: str) -> Token:
    """Returns a word as it is compared."""
    word = word.lower()
    if len(word) > 1 and word.endswith("*"):
        word = word[:-1]
    if len(word) > 2 and word.startswith("(") and word.endswith(")"):
        return Token(word[1:-1], optional=True)
    return Token(word)


def parse_reference(text: str) -> tuple[list[Arc], list[int]]:
    """Returns the words of a reference as a graph, and the arcs that may be the last one.

    Raises:
        ValueError: If braces don't match, or an alternative is empty.
    """
    symbols = re.findall(r"[{}]|[^\s{}]+", text)
    arcs: list[Arc] = []
    ends, rest = _sequence(symbols, 0, [-1], arcs, nested=False)
    if rest < len(symbols):
        raise ValueError(f"'}}' without '{{' in {text!r}")
    return arcs, ends


def _sequence(
    symbols: list[str], at: int, ends: list[int], arcs: list[Arc], nested: bool
) -> tuple[list[int], int]:
    """Adds arcs up to the end of an alternative; returns its last arcs and where it ends."""
    while at < len(symbols) and symbols[at] != "}" and not (nested and symbols[at] == "/"):
        if symbols[at] == "{":
            ends, at = _alternatives(symbols, at + 1, ends, arcs)
        else:
            arcs.append(Arc(token_of(symbols[at]), ends))
            ends, at = [len(arcs) - 1], at + 1
    return ends, at


def _alternatives(
    symbols: list[str], at: int, ends: list[int], arcs: list[Arc]
) -> tuple[list[int], int]:
    """Adds the alternatives after a brace; returns their last arcs and what follows them."""
    found: list[int] = []
    while True:
        last, stop = _sequence(symbols, at, ends, arcs, nested=True)
        if stop == at:
            raise ValueError(f"an alternative is empty: write {NOTHING} in {' '.join(symbols)!r}")
        if stop == len(symbols):
            raise ValueError(f"'{{' without '}}' in {' '.join(symbols)!r}")
        found += last
        at = stop + 1
        if symbols[stop] == "}":
            return found, at


def align(reference: str, hypothesis: str) -> Aligned:
    """Returns the cheapest alignment with a reference and its errors.

    Raises:
        ValueError: If the reference can't be parsed.
    """
    arcs, ends = parse_reference(reference)
    words = [token_of(word) for word in hypothesis.split()]
    table = _table(arcs, words)
    # Arc 0 of the table is the start.
    row = min(ends, key=lambda end: table[end + 1][len(words)][0]) + 1
    column, pairs = len(words), list[tuple[Token | None, Token | None]]()
    while row or column:
        _, up, left = table[row][column]
        pairs.append(
            (arcs[row - 1].token if up != row else None, words[left] if left != column else None)
        )
        row, column = up, left
    return _counted([pair for pair in reversed(pairs) if not _is_nothing(*pair)])


Cell = tuple[float, int, int]
"""Lowest cost, and the cell before on the way there."""


def _table(arcs: list[Arc], words: list[Token]) -> list[list[Cell]]:
    """Returns a cell per arc of the reference and word of the hypothesis, each with a start."""
    first: list[Cell] = [(0.0, 0, 0)]
    for column, word in enumerate(words):
        first.append((_single(first[-1][0] + word.gap), 0, column))
    table = [first]
    for row, arc in enumerate(arcs, 1):
        before = [(index + 1, table[index + 1]) for index in arc.before]
        cost, up = min(((cells[0][0], index) for index, cells in before), key=lambda c: c[0])
        line: list[Cell] = [(_single(cost + arc.token.gap), up, 0)]
        for column, word in enumerate(words):
            line.append(_best(row, column, arc.token, word, before, line))
        table.append(line)
    return table


def _best(
    row: int,
    column: int,
    token: Token,
    word: Token,
    before: list[tuple[int, list[Cell]]],
    line: list[Cell],
) -> Cell:
    """Returns a cell; of equal costs, that of the substitution, then of the insertion."""
    matched, match_up = before[0][1][column][0], before[0][0]
    deleted, delete_up = before[0][1][column + 1][0], before[0][0]
    for index, cells in before[1:]:
        if cells[column][0] < matched:
            matched, match_up = cells[column][0], index
        if cells[column + 1][0] < deleted:
            deleted, delete_up = cells[column + 1][0], index
    matched = _single(matched + token.cost(word))
    deleted = _single(deleted + token.gap)
    inserted = _single(line[column][0] + word.gap)
    if matched <= deleted and matched <= inserted:
        return matched, match_up, column
    if deleted < inserted:
        return deleted, delete_up, column + 1
    return inserted, row, column


def _single(cost: float) -> float:
    """Rounds to single precision, as sclite: that decides between ways of nearly equal cost."""
    return c_float(cost).value


def _is_nothing(reference: Token | None, word: Token | None) -> bool:
    return all(token is None or token.word == NOTHING for token in (reference, word))


def _counted(pairs: list[tuple[Token | None, Token | None]]) -> Aligned:
    """Returns alignment and errors; a word in parentheses without a partner is no error."""
    counts = dict.fromkeys(["correct", "substitutions", "deletions", "insertions"], 0)
    shown = []
    for reference, word in pairs:
        counts[_kind(reference, word)] += 1
        shown.append(tuple(EMPTY if t is None else _shown(t) for t in (reference, word)))
    words = counts["correct"] + counts["substitutions"] + counts["deletions"]
    counts.pop("correct")
    return Aligned(Errors(**counts, words=words), [(a, b) for a, b in shown])


def _kind(reference: Token | None, word: Token | None) -> str:
    if reference is not None and word is not None:
        return "correct" if reference.word == word.word else "substitutions"
    only = reference or word
    if only is not None and only.optional:
        return "correct"
    return "insertions" if reference is None else "deletions"


def _shown(token: Token) -> str:
    return f"({token.word})" if token.optional else token.word


def in_order(segments: Iterable[Segment]) -> list[Segment]:
    """Returns segments with those of a recording's channel together, and in the order of time."""
    places: dict[tuple[str, str], int] = {}
    segments = list(segments)
    for segment in segments:
        places.setdefault((segment.recording, segment.channel), len(places))
    return sorted(segments, key=lambda s: (places[s.recording, s.channel], s.start))


def words_of_segments(segments: Sequence[Segment], words: Iterable[CtmWord]) -> list[str]:
    """Returns the text that was recognised in each segment.

    A word belongs to the first segment of its recording and channel that ends after the word's
    middle, so words before a segment count there; those after the last segment count in that.

    Args:
        segments: As `in_order` returns them.
        words: In any order; those of recordings without segments are left out.
    """
    numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, segment in enumerate(segments):
        numbers[segment.recording, segment.channel].append(number)
    # A segment that ends before an earlier one gets no words, as its turn comes too late.
    ends: dict[tuple[str, str], list[float]] = {}
    for key, own in numbers.items():
        last, ends[key] = 0.0, []
        for number in own:
            last = max(last, segments[number].end)
            ends[key].append(last)
    texts: list[list[str]] = [[] for _ in segments]
    for word in sorted(words, key=lambda w: w.start):
        key = word.recording, word.channel
        if key in numbers:
            place = bisect_right(ends[key], word.start + word.duration / 2)
            texts[numbers[key][min(place, len(ends[key]) - 1)]].append(word.word)
    return [" ".join(text) for text in texts]
