"""Searches that keep ended hypotheses find what slow searches, written down literally, find.

The slow ones follow the published searches step by step: scores of ended hypotheses are multiplied
in each step, and all divided in the end.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.scorers.interfaces import Hypothesis, State
from asrkit.search.ctc_greedy import CtcGreedySearch
from asrkit.search.ended import Ended, EndedAside, EndedBest, EndedInBeam
from asrkit.search.label_sync import LabelSyncSearch
from asrkit.search.lengths import LengthNorm
from asrkit.search.time_sync import TimeSyncSearch
from asrkit.search.two_pass import TwoPassSearch
from tests.search.label_sync_test import Head

V, UTTERANCES, LIMIT = 4, 3, 20
SEEDS = range(6)


class Table:
    """log p(next | last label, number of labels), so that no two strings have the same score."""

    partial = False

    def __init__(self, tables: Tensor) -> None:
        self.tables = tables  # (B, LIMIT + 1, V + 1, V + 1)

    def initial_state(self) -> State:
        last = torch.full((len(self.tables),), V)
        return last, torch.zeros_like(last)

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        assert candidates is None
        last, count = state
        rows = torch.arange(len(last)) // (len(last) // len(self.tables))
        return self.tables[rows, count.clamp(max=LIMIT), last]

    def advance(self, state: State, labels: Tensor) -> State:
        return labels, state[1] + 1

    def subset(self, utterances: Tensor) -> Table:
        return Table(self.tables[utterances])


class Encoded:
    lengths = torch.full((UTTERANCES,), LIMIT)


@dataclass(frozen=True)
class Slow:
    """A hypothesis of a slow search."""

    score: float
    labels: tuple[int, ...]
    ended: bool = False

    def extended(self, table: Tensor) -> Iterator[Slow]:
        """Yields it with each label, and ended."""
        row = table[len(self.labels), self.labels[-1] if self.labels else V].tolist()
        yield from (Slow(self.score + row[v], (*self.labels, v)) for v in range(V))
        yield Slow(self.score + row[V], self.labels, ended=True)

    def times(self, factor: float) -> Slow:
        """Returns it with another score."""
        return Slow(self.score * factor, self.labels, self.ended)


def best(hypotheses: list[Slow], count: int) -> list[Slow]:
    return sorted(hypotheses, key=lambda h: -h.score)[:count]


def in_one_beam(table: Tensor, beam: int, total: int, exponent: float) -> list[Slow]:
    """Ended hypotheses in the beam; at the limit of labels all must end."""
    beams = [Slow(0.0, ())]
    for step in range(1, LIMIT + 2):
        new = [e for h in beams if not h.ended for e in h.extended(table)]
        new = [e for e in new if e.ended or step <= LIMIT]
        beams = best(best(new, beam) + [h for h in beams if h.ended], total)
        if all(h.ended for h in beams):
            return [h.times((1 / step) ** exponent) for h in beams]
        beams = [h.times(((step + 1) / step) ** exponent) if h.ended else h for h in beams]
    raise AssertionError


def in_one_beam_by_labels(table: Tensor, beam: int, exponent: float) -> list[Slow]:
    """The oldest one, where the end is no symbol; it divides by steps, one too many, in the end."""
    beams = [Slow(0.0, ())]
    for step in range(1, LIMIT + 2):
        new = [e for h in beams if not h.ended for e in h.extended(table)]
        new = [e for e in new if e.ended or step <= LIMIT]
        beams = best(new + [h for h in beams if h.ended], beam)
        if all(h.ended for h in beams):
            return [h.times((1 / max(step - 1, 1)) ** exponent) for h in beams]
        if step > 1:
            factor = (step / (step - 1)) ** exponent
            beams = [h.times(factor) if h.ended else h for h in beams]
    raise AssertionError


def apart(
    table: Tensor, beam: int, rule: EndedBest, exponent: float, offset: int = 0
) -> list[Slow]:
    """The best ended hypotheses apart from the beam."""
    live, ended = [Slow(0.0, ())], list[Slow]()
    for step in range(LIMIT + 1):
        new = [e for h in live for e in h.extended(table)]
        ended = best(ended + [h for h in new if h.ended], rule.size)
        live = best([h for h in new if not h.ended], beam) if step < LIMIT else []
        if rule.threshold is not None:
            live = [h for h in live if h.score > ended[0].score - rule.threshold]
        if rule.worst_threshold is not None and len(ended) == rule.size:
            live = [h for h in live if h.score > ended[-1].score - rule.worst_threshold]
        if rule.adaptive:
            now = ((1 + offset) / (step + 1 + offset)) ** exponent
            then = ((1 + offset) / (LIMIT + 1 + offset)) ** exponent
            live = [h for h in live if h.score * then > ended[0].score * now]
        if not live:
            last = ((1 + offset) / (step + 1 + offset)) ** exponent
            return [h.times(last) for h in ended]
        factor = ((step + 2 + offset) / (step + 1 + offset)) ** exponent
        ended = [h.times(factor) for h in ended]
    raise AssertionError


def tables(seed: int) -> Tensor:
    torch.manual_seed(seed)
    logits = 1.5 * torch.randn(UTTERANCES, LIMIT + 1, V + 1, V + 1, dtype=torch.float64)
    logits[..., V] += 0.5  # ends are likely enough
    return logits.log_softmax(2)


def found(seed: int, beam: int, ended: Ended, **options: Any) -> list[list[Hypothesis]]:
    search = LabelSyncSearch({"a": 1.0}, beam, ended=ended, **options)
    return search.over({"a": Head(Table(tables(seed).float()))}).run(Encoded())


def compare(expected: list[Slow], n_best: list[Hypothesis]) -> None:
    assert [tuple(h.labels) for h in n_best] == [h.labels for h in expected]
    scores = [h.score for h in expected]
    assert [h.score for h in n_best] == pytest.approx(scores, rel=1e-4)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("beam", "total"), [(1, None), (3, None), (5, None), (3, 7), (5, 2)])
def test_ended_ones_in_the_beam(beam: int, total: int | None, exponent: float) -> None:
    for seed in SEEDS:
        lists = found(seed, beam, EndedInBeam(total), length_norm=exponent)
        for table, n_best in zip(tables(seed), lists, strict=True):
            compare(in_one_beam(table, beam, total or beam, exponent), n_best)


def test_the_end_may_not_count() -> None:
    for seed in SEEDS:
        lists = found(seed, 4, EndedInBeam(), length_norm=1.0, length_offset=-1)
        for table, n_best in zip(tables(seed), lists, strict=True):
            compare(in_one_beam_by_labels(table, 4, 1.0), n_best)


RULES = [
    EndedBest(1),
    EndedBest(4, threshold=1.0),
    EndedBest(3, worst_threshold=0.5),
    EndedBest(2, threshold=3.0, worst_threshold=0.1),
    EndedBest(3, adaptive=True),
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("exponent", "offset"), [(0.0, 0), (1.0, 0), (0.6, 5)])
def test_the_best_ended_ones_apart(rule: EndedBest, exponent: float, offset: int) -> None:
    for seed in SEEDS:
        options = {"length_norm": exponent, "length_offset": offset}
        lists = found(seed, 3, rule, **options)
        for table, n_best in zip(tables(seed), lists, strict=True):
            compare(apart(table, 3, rule, exponent, offset), n_best)


@pytest.mark.parametrize("rule", [EndedInBeam(), EndedInBeam(6), EndedBest(4)])
def test_at_the_limit_all_must_end(rule: Ended) -> None:
    never = tables(0).float()
    never[..., V] = -30.0
    search = LabelSyncSearch({"a": 1.0}, 3, ended=rule, max_length_ratio=0.2)
    lists = search.over({"a": Head(Table(never))}).run(Encoded())
    for table, n_best in zip(never, lists, strict=True):
        assert n_best
        for hypothesis in n_best:
            assert len(hypothesis.labels) <= 4
            path = [V, *hypothesis.labels, V]
            pairs = enumerate(itertools.pairwise(path))
            score = sum(float(table[count, a, b]) for count, (a, b) in pairs)
            assert hypothesis.score == pytest.approx(score, rel=1e-5)


def test_what_can_be_reached_is_no_reason_to_stop_where_scorers_reward() -> None:
    lists = [
        found(3, 3, EndedBest(2, adaptive=adaptive), length_reward=0.5, max_length_ratio=0.2)
        for adaptive in (False, True)
    ]
    assert [n[0] for n in lists[0]] == [n[0] for n in lists[1]]


def test_divisors_of_lengths() -> None:
    lengths = torch.arange(5)
    for norm in (LengthNorm(0.0), LengthNorm(1.0), LengthNorm(0.6, 5), LengthNorm(1.0, -1)):
        divisors = [norm.divisor(count) for count in range(5)]
        torch.testing.assert_close(norm.divisors(lengths), torch.tensor(divisors))
    assert [LengthNorm(1.0).divisor(n) for n in (0, 1, 4)] == [1.0, 2.0, 5.0]
    assert [LengthNorm(1.0, -1).divisor(n) for n in (0, 1, 4)] == [1.0, 1.0, 4.0]
    assert LengthNorm(1.0, 5).divisor(6) == 2.0
    with pytest.raises(ValueError, match="at least -1"):
        LengthNorm(1.0, -2)


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="patience"):
        LabelSyncSearch({"a": 1.0}, 2, patience=8, ended=EndedInBeam())
    for make in (lambda: EndedBest(0), lambda: EndedInBeam(0)):
        with pytest.raises(ValueError, match="at least 1"):
            make()
    plain = LabelSyncSearch({"a": 1.0}, 2)
    assert (plain.patience, plain.ended) == (8, EndedAside())


@pytest.mark.parametrize("exponent", [10**30, -11.0, math.nan])
def test_exponents_that_no_score_survives_are_refused_by_every_search(exponent: float) -> None:
    searches: list[Callable[[], object]] = [
        lambda: LabelSyncSearch({"a": 1.0}, 3, length_norm=exponent),
        lambda: TimeSyncSearch({"ctc": 1.0}, 3, length_norm=exponent),
        lambda: TwoPassSearch(CtcGreedySearch({"a": 1.0}), {"b": 1.0}, length_norm=exponent),
    ]
    for make in searches:
        with pytest.raises(ValueError, match="length_norm .* must be between -10 and 10"):
            make()
