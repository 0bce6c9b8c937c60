"""Texts with alternatives and optional words, and their alignment as NIST's sclite does it.

`{ a / b c / @ }` stands for one of several texts, `@` for none; `(word)` may be left out without
an error; `word*` is `word`. What differs from the plain edit distance of `asrkit.scoring.edits`: a
substitution costs 4, a deletion or insertion 3, so that long wrong passages may count more errors.

Source: the documentation and behaviour of SCTK 2.4, `sclite -D`; with `-F`, `agrees_in_part`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from ctypes import c_float
from dataclasses import dataclass, field
from itertools import product
from typing import cast

from asrkit.scoring.edits import AlignedWord, Errors, Kind

NOTHING = "@"
"""The empty alternative."""
# Costs of a substitution, of a deletion or insertion, and of that of a word in parentheses; of
# taking the empty alternative, and of two of them opposite each other.
SUBSTITUTION, GAP, OPTIONAL_GAP, NOTHING_GAP, NOTHINGS = 4.0, 3.0, 2.0, 0.001, 1.0
SYMBOLS = re.compile(r"[{}]|[^\s{}]+")

Agrees = Callable[[str, str], bool]
"""Returns whether two words count as the same."""


@dataclass(frozen=True)
class Token:
    """A word as it is compared.

    Args:
        word: The word without parentheses.
        optional: Whether it may be left out; such words are written in parentheses.
    """

    word: str
    optional: bool = False

    def __str__(self) -> str:
        return f"({self.word})" if self.optional else self.word

    @property
    def gap(self) -> float:
        """Cost of leaving the word without a partner."""
        if self.word == NOTHING:
            return NOTHING_GAP
        return OPTIONAL_GAP if self.optional else GAP


def token_of(word: str) -> Token:
    """Returns a word as it is compared."""
    if len(word) > 1 and word.endswith("*"):
        word = word[:-1]
    if len(word) > 2 and word.startswith("(") and word.endswith(")"):
        return Token(word[1:-1], optional=True)
    return Token(word)


@dataclass(frozen=True)
class Arc:
    """A word of a graph, and the numbers of the arcs that may come before it."""

    token: Token
    before: list[int]


@dataclass
class WordGraph:
    """All texts that a line allows.

    Args:
        arcs: Each comes after those that may precede it; arc 0 is the start, without a word.
        ends: The arcs that may be the last one.
    """

    arcs: list[Arc] = field(default_factory=lambda: [Arc(Token(""), [])])
    ends: list[int] = field(default_factory=lambda: [0])

    def add(self, word: str, before: list[int]) -> list[int]:
        """Appends an arc; returns it as what may come before the next one."""
        self.arcs.append(Arc(token_of(word), before))
        return [len(self.arcs) - 1]


def line_of(words: Iterable[str]) -> WordGraph:
    """Returns the graph of a single text, in which braces and slashes are words."""
    graph = WordGraph()
    for word in words:
        graph.ends = graph.add(word, graph.ends)
    return graph


def parse(text: str) -> WordGraph:
    """Returns the graph of a text with alternatives.

    Raises:
        ValueError: If braces don't match, or an alternative is empty.
    """
    symbols, graph = SYMBOLS.findall(text), WordGraph()
    graph.ends, rest = _sequence(graph, symbols, 0, [0], nested=False)
    if rest < len(symbols):
        raise ValueError(f"'}}' without '{{' in {text!r}")
    return graph


def _sequence(
    graph: WordGraph, symbols: list[str], at: int, ends: list[int], nested: bool
) -> tuple[list[int], int]:
    """Adds words up to the end of an alternative; returns its last arcs and where it ends."""
    while at < len(symbols) and symbols[at] != "}" and not (nested and symbols[at] == "/"):
        if symbols[at] == "{":
            ends, at = _alternatives(graph, symbols, at + 1, ends)
        else:
            ends, at = graph.add(symbols[at], ends), at + 1
    return ends, at


def _alternatives(
    graph: WordGraph, symbols: list[str], at: int, ends: list[int]
) -> tuple[list[int], int]:
    """Adds the alternatives after a brace; returns their last arcs and what follows them."""
    found: list[int] = []
    while True:
        last, stop = _sequence(graph, symbols, at, ends, nested=True)
        if stop == at:
            raise ValueError(f"an alternative is empty: write {NOTHING} in {' '.join(symbols)!r}")
        if stop == len(symbols):
            raise ValueError(f"'{{' without '}}' in {' '.join(symbols)!r}")
        found += last
        at = stop + 1
        if symbols[stop] == "}":
            return found, at


Pair = tuple[Token | None, Token | None]
"""A reference word over a hypothesis word; None where the other has no counterpart."""
Place = tuple[int, int]
"""An arc of the reference and one of the hypothesis, up to which both are aligned."""
Cell = tuple[float, Place]
"""Lowest cost up to a place, and the place before on the way there."""


def align(reference: WordGraph, found: WordGraph, agrees: Agrees = operator.eq) -> list[Pair]:
    """Returns the cheapest alignment of any text of one graph with any of the other.

    Args:
        reference: What may have been said.
        found: What may have been recognised.
        agrees: Which words count as the same.
    """
    table: list[list[Cell]] = []
    for i, arc in enumerate(reference.arcs):
        table.append([])
        for j, other in enumerate(found.arcs):
            table[i].append(_best(table, (i, j), arc, other, agrees))
    place, pairs = _cheapest(table, product(reference.ends, found.ends)), list[Pair]()
    while place != (0, 0):
        before = table[place[0]][place[1]][1]
        a = reference.arcs[place[0]].token if before[0] != place[0] else None
        b = found.arcs[place[1]].token if before[1] != place[1] else None
        if any(token is not None and token.word != NOTHING for token in (a, b)):
            pairs.append((a, b))
        place = before
    return pairs[::-1]


def _best(table: list[list[Cell]], place: Place, a: Arc, b: Arc, agrees: Agrees) -> Cell:
    """Returns a cell; of equal costs, that of the substitution, then of the insertion."""
    i, j = place
    steps: list[Cell] = []
    if i and j:
        before = _cheapest(table, product(a.before, b.before))
        steps.append(_step(table, before, _opposite(a.token.word, b.token.word, agrees)))
    if j:
        before = _cheapest(table, ((i, left) for left in b.before))
        steps.append(_step(table, before, b.token.gap))
    if i:
        before = _cheapest(table, ((up, j) for up in a.before))
        steps.append(_step(table, before, a.token.gap))
    return min(steps, key=operator.itemgetter(0)) if steps else (0.0, place)


def _cheapest(table: list[list[Cell]], places: Iterator[Place]) -> Place:
    """Returns the place of lowest cost, the first of several."""
    return min(places, key=lambda place: table[place[0]][place[1]][0])


def _step(table: list[list[Cell]], before: Place, cost: float) -> Cell:
    """Returns the cell after a step; rounded as by sclite, which decides between nearly equals."""
    return c_float(table[before[0]][before[1]][0] + cost).value, before


def _opposite(word: str, other: str, agrees: Agrees) -> float:
    """Returns the cost of two words that stand opposite each other."""
    if NOTHING in (word, other):
        return NOTHINGS if word == other else SUBSTITUTION
    return 0.0 if agrees(word, other) else SUBSTITUTION


def agrees_in_part(reference: str, found: str) -> bool:
    """Returns whether words agree as far as they are written: `wor-` or `-ord` with `word`."""
    for one, other in ((reference, found), (found, reference)):
        if len(one) > 1 and one.startswith("-"):
            return other.endswith(one[1:])
        if len(one) > 1 and one.endswith("-"):
            return other.startswith(one[:-1])
    return reference == found


def errors_of(pairs: Iterable[Pair], agrees: Agrees = operator.eq) -> Errors:
    """Returns the errors of an alignment; an optional word without a partner counts as correct."""
    total = Errors()
    for a, b in pairs:
        if a is not None and b is not None:
            total += Errors(substitutions=int(not agrees(a.word, b.word)), words=1)
        elif a is not None:
            total += Errors(deletions=int(not a.optional), words=1)
        elif b is not None:
            total += Errors(insertions=int(not b.optional), words=int(b.optional))
    return total


def words_of(pairs: Iterable[Pair], agrees: Agrees = operator.eq) -> list[AlignedWord]:
    """Returns an alignment as words, optional ones in parentheses, and what each pair counts as."""
    found = []
    for a, b in pairs:
        errors = errors_of([(a, b)], agrees)
        kind: Kind = "correct"
        if errors.total:
            wrong = "insertion" if a is None else "deletion" if b is None else "substitution"
            kind = cast(Kind, wrong)
        reference, other = (None if token is None else str(token) for token in (a, b))
        found.append(AlignedWord(reference, other, kind))
    return found
