"""Texts with alternatives and optional words, and their alignment as NIST's sclite does it.

`{ a / b c / @ }` stands for one of several texts, `@` for none; `(word)` may be left out without
an error; of a partial word, `wor-` or `-ord`, what is written must be heard.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from asrkit.errors import UserError
from asrkit.scoring.wer import Errors

NO_WORD = "@"
SUBSTITUTION, GAP, OPTIONAL_GAP, NO_WORD_GAP = 4, 3, 2, 0.001
"""Costs of the alignment, those of sclite: three words too few and three too many are cheaper than
five substitutions."""
TOKENS = re.compile(r"[{}]|[^\s{}]+")


@dataclass(frozen=True)
class Arc:
    """A word between two nodes; one without a word is free to pass."""

    begin: int
    end: int
    word: str = ""
    optional: bool = False

    @property
    def is_word(self) -> bool:
        """Whether the arc stands for something that is said."""
        return self.word not in ("", NO_WORD)


@dataclass
class WordGraph:
    """All texts that a line stands for, as paths from node 0 to the last one.

    Args:
        arcs: By the node where they end; each begins at a node of a lower number.
    """

    arcs: list[list[Arc]] = field(default_factory=lambda: [[]])

    def add(self, begin: int, word: str = "", optional: bool = False) -> int:
        """Appends an arc to a new node; returns that node."""
        self.arcs.append([Arc(begin, len(self.arcs), word, optional)])
        return len(self.arcs) - 1

    def join(self, begins: list[int]) -> int:
        """Lets several nodes go on from one new node; returns it."""
        end = len(self.arcs)
        self.arcs.append([Arc(begin, end) for begin in begins])
        return end


def parse(text: str) -> WordGraph:
    """Returns the graph of a text with alternatives and optional words.

    Raises:
        UserError: If braces don't match.
    """
    graph = WordGraph()
    tokens = TOKENS.findall(text)
    _, rest = _sequence(graph, 0, tokens, 0)
    if rest < len(tokens):
        raise UserError(f"{text!r} has a closing brace that nothing opened")
    return graph


def _sequence(graph: WordGraph, node: int, tokens: list[str], index: int) -> tuple[int, int]:
    """Adds words up to a closing brace or the end; returns the last node and where it stopped."""
    while index < len(tokens) and tokens[index] != "}":
        token = tokens[index]
        if token == "{":
            node, index = _alternatives(graph, node, tokens, index + 1)
        else:
            optional = token.startswith("(") and token.endswith(")")
            node = graph.add(node, token[1:-1] if optional else token, optional)
            index += 1
    return node, index


def _alternatives(graph: WordGraph, node: int, tokens: list[str], index: int) -> tuple[int, int]:
    ends = []
    while True:
        stop = _end_of_alternative(tokens, index)
        ends.append(_sequence(graph, node, tokens[:stop], index)[0])
        index = stop + 1
        if tokens[stop] == "}":
            return graph.join(ends), index


def _end_of_alternative(tokens: list[str], index: int) -> int:
    """Returns where the slash or brace stands that ends an alternative."""
    depth = 0
    for place in range(index, len(tokens)):
        token = tokens[place]
        if depth == 0 and token in ("/", "}"):
            return place
        depth += {"{": 1, "}": -1}.get(token, 0)
    raise UserError(f"{' '.join(tokens)!r} has an opening brace that nothing closes")


Pair = tuple[Arc | None, Arc | None]
"""A reference word over a hypothesis word; None where the other has no counterpart."""


def align(reference: WordGraph, found: WordGraph) -> list[Pair]:
    """Returns a cheapest alignment of any text of one graph with any of the other.

    Source: NIST SCTK, sclite's network alignment with options -F and -D.
    """
    best: dict[tuple[int, int], tuple[float, tuple[int, int], Pair]] = {}
    for i, into_i in enumerate(reference.arcs):
        for j, into_j in enumerate(found.arcs):
            # Of equally cheap steps the first is taken: in sclite's order.
            steps: list[tuple[float, tuple[int, int], Pair]] = [
                (_substitution(a, b), (a.begin, b.begin), (a, b))
                for a in into_i
                for b in into_j
                if a.is_word and b.is_word
            ]
            steps += [(_gap(b), (i, b.begin), (None, b)) for b in into_j]
            steps += [(_gap(a), (a.begin, j), (a, None)) for a in into_i]
            reached = [(best[before][0] + cost, before, pair) for cost, before, pair in steps]
            start = (0.0, (0, 0), (None, None))
            best[i, j] = min(reached, key=lambda step: step[0]) if reached else start
    place, pairs = (len(reference.arcs) - 1, len(found.arcs) - 1), list[Pair]()
    while place != (0, 0):
        _, place, (a, b) = best[place]
        if (a and a.is_word) or (b and b.is_word):
            pairs.append((a, b))
    return pairs[::-1]


def _gap(arc: Arc) -> float:
    if not arc.is_word:
        return NO_WORD_GAP if arc.word else 0
    return OPTIONAL_GAP if arc.optional else GAP


def _substitution(a: Arc, b: Arc) -> float:
    return 0 if is_same(a.word, b.word) else SUBSTITUTION


def is_same(reference: str, found: str) -> bool:
    """Says whether two words agree, as far as they are written."""
    for one, other in ((reference, found), (found, reference)):
        if len(one) > 1 and one.startswith("-"):
            return other.endswith(one[1:])
        if len(one) > 1 and one.endswith("-"):
            return other.startswith(one[:-1])
    return reference == found


def errors_of(pairs: list[Pair]) -> Errors:
    """Returns the errors of an alignment; a missing optional word counts as a correct one."""
    total = Errors()
    for a, b in pairs:
        if a is not None and b is not None:
            total += Errors(substitutions=int(not is_same(a.word, b.word)), words=1)
        elif a is not None:
            total += Errors(deletions=int(not a.optional), words=1)
        elif b is not None:
            total += Errors(insertions=int(not b.optional), words=int(b.optional))
    return total
