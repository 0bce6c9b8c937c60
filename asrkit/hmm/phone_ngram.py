"""An n-gram model of phones without smoothing, from alignments, for the denominator of LF-MMI.

Only what was seen can follow a history. Histories are of two phones; of those of three, so many are
kept as are worth most, and the others are one with their last two phones. So every history tells
the phone before, and what may be said is a graph without back-off.

Source: Kaldi's chain/language-model.cc: 4-gram, no 3-gram is pruned, 2000 more histories.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log

from asrkit.hmm.topology import EDGE

History = tuple[int, ...]


@dataclass(frozen=True)
class PhoneNgram:
    """A phone n-gram model.

    Args:
        histories: Last phones of all histories; the first is the beginning, `(EDGE,)`.
        arcs: From a history, phone, to a history, probability; those of ends are left out.
    """

    histories: list[History]
    arcs: list[tuple[int, int, int, float]]


def phone_ngram(
    utterances: Iterable[Sequence[int]], order: int = 4, kept: int = 3, extra: int = 2000
) -> PhoneNgram:
    """Estimates the model.

    Args:
        utterances: Phones of each.
        order: Phones of the longest n-grams.
        kept: No n-gram of this length is lost: histories of one phone less are all kept.
        extra: So many longer histories are kept.

    Raises:
        ValueError: If the lengths are impossible.
    """
    if not 3 <= kept <= order:
        raise ValueError(f"kept ({kept}) must be at least 3 and at most order ({order})")
    counts: dict[History, Counter[int]] = defaultdict(Counter)
    for phones in utterances:
        padded = [EDGE, *phones, EDGE]
        for place in range(1, len(padded)):
            counts[tuple(padded[max(place - order + 1, 0) : place])][padded[place]] += 1
    for length in range(order - 1, kept - 1, -1):
        _prune(counts, length, extra if length == order - 1 else 0)
    return _model(counts)


def _prune(counts: dict[History, Counter[int]], length: int, extra: int) -> None:
    """Joins those histories of a length with shorter ones that lose least by it."""
    longest = [history for history in counts if len(history) == length]
    shorter: dict[History, Counter[int]] = defaultdict(Counter)
    for history in longest:
        shorter[history[1:]].update(counts[history])
    gains = {
        history: _log_likelihood(counts[history], counts[history])
        - _log_likelihood(counts[history], shorter[history[1:]])
        for history in longest
    }
    for history in sorted(longest, key=lambda one: (-gains[one], one))[extra:]:
        counts.setdefault(history[1:], Counter()).update(counts.pop(history))


def _log_likelihood(counts: Counter[int], model: Counter[int]) -> float:
    total = log(model.total())
    return sum(count * (log(model[phone]) - total) for phone, count in counts.items())


def _model(counts: dict[History, Counter[int]]) -> PhoneNgram:
    """Returns arcs between those histories that can be reached from the beginning."""
    numbers: dict[History, int] = {(EDGE,): 0}
    waiting: list[History] = [(EDGE,)]
    arcs: list[tuple[int, int, int, float]] = []
    longest = max(map(len, counts))
    while waiting:
        history = waiting.pop()
        found = counts[history]
        for phone, count in sorted(found.items()):
            if phone == EDGE:
                continue
            reached = (*history, phone)[-longest:]
            while reached not in counts:
                reached = reached[1:]
            if reached not in numbers:
                numbers[reached] = len(numbers)
                waiting.append(reached)
            arcs.append((numbers[history], phone, numbers[reached], count / found.total()))
    return PhoneNgram(list(numbers), arcs)
