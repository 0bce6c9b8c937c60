"""L: pronunciations as a transducer from phones to words, with optional silence around words.

Where one pronunciation is that of two words or begins another one, the transducer could not be
determinised; so each of these ends in a disambiguation symbol (#1, #2, ...). #0 is passed on to the
grammar's back-off arcs; the last symbol tells silence from its absence.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from asrkit.wfst.graph import EPSILON, Graph, graph_of_arcs

Phones = tuple[int, ...]


@dataclass(frozen=True)
class Pronunciation:
    """One way to say a word.

    Args:
        word: Label of the word, from 1 on.
        phones: Its phones, numbers from 1 on.
        cost: Negative logarithm of its probability, and what else it costs to say it.
    """

    word: int
    phones: Phones
    cost: float = 0.0


@dataclass(frozen=True)
class Silence:
    """What may be heard between words.

    Args:
        phone: Number of the phone.
        probability: That it is heard after a word or before the first one.
        exit: Cost of leaving it.
    """

    phone: int
    probability: float = 0.5
    exit: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.probability < 1:
            raise ValueError(f"probability ({self.probability}) must be between 0 and 1")


@dataclass(frozen=True)
class LexiconGraph:
    """L, and its symbols that are not phones.

    Args:
        graph: From phones to words.
        backoff: #0, as it is read; the grammar's label of back-off arcs is written.
        disambiguation: All symbols that are read but are not phones, including #0.
    """

    graph: Graph
    backoff: int
    disambiguation: list[int]


def lexicon_graph(
    pronunciations: Sequence[Pronunciation],
    num_phones: int,
    backoff: int,
    silence: Silence | None = None,
) -> LexiconGraph:
    """Returns L.

    Args:
        pronunciations: Of all words that may be recognised; words may have several.
        num_phones: How many phones there are, silence among them.
        backoff: Label of the grammar's back-off arcs.
        silence: What may be heard around words; none where null.

    Raises:
        ValueError: If a pronunciation is empty or has an unknown phone.
    """
    wrong = [p for p in pronunciations if not p.phones or max(p.phones) > num_phones]
    if wrong:
        raise ValueError(f"{wrong[0]} must have phones between 1 and {num_phones}")
    endings = _endings([p.phones for p in pronunciations])
    zero = num_phones + 1
    highest = zero + max(endings, default=0)
    loop, quiet, free = 0, 1, 2
    arcs: list[tuple[int, int, int, float, int]] = [(loop, zero, backoff, 0.0, loop)]
    # Where silence may follow, words end in two places, else in one.
    ends = [(loop, 0.0)]
    start = loop
    if silence is not None:
        highest += 1
        costs = -math.log1p(-silence.probability), -math.log(silence.probability)
        start, between, free = 2, 3, 4
        arcs += [
            (start, EPSILON, EPSILON, costs[0], loop),
            (start, EPSILON, EPSILON, costs[1], quiet),
        ]
        arcs += [
            (quiet, silence.phone, EPSILON, 0.0, between),
            (between, highest, EPSILON, silence.exit, loop),
        ]
        ends = [(loop, costs[0]), (quiet, costs[1])]
    for pronunciation, ending in zip(pronunciations, endings, strict=True):
        phones = [*pronunciation.phones, *([zero + ending] if ending else [])]
        state, word, cost = loop, pronunciation.word, pronunciation.cost
        for phone in phones[:-1]:
            arcs.append((state, phone, word, cost, free))
            state, word, cost, free = free, EPSILON, 0.0, free + 1
        arcs += [(state, phones[-1], word, cost + extra, end) for end, extra in ends]
    graph = graph_of_arcs(start, {loop: 0.0}, arcs)
    return LexiconGraph(graph, zero, list(range(zero, highest + 1)))


def _endings(sequences: Sequence[Phones]) -> list[int]:
    """Returns the number of the symbol that ends each pronunciation, 0 where none is needed."""
    counts = Counter(sequences)
    beginnings = {phones[:size] for phones in counts for size in range(1, len(phones))}
    used: Counter[Phones] = Counter()
    endings = []
    for phones in sequences:
        ambiguous = counts[phones] > 1 or phones in beginnings
        used[phones] += ambiguous
        endings.append(used[phones])
    return endings
