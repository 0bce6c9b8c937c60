"""Decoding graphs against all sentences, pronunciations, silences and alignments, one by one."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from asrkit.lm.corpus import index_sentences
from asrkit.lm.kneser_ney import estimate
from asrkit.lm.tables import Floats, Ints, Ngrams
from asrkit.wfst.decoding_graph import ctc_graph, decoding_graph
from asrkit.wfst.grammar import grammar
from asrkit.wfst.graph import Graph
from asrkit.wfst.hmm import TransitionCosts
from asrkit.wfst.lexicon import Pronunciation, Silence

pytest.importorskip("kaldifst")
WORDS = ["ab", "a", "ba", "eh"]
SILENCE, A, B = 1, 2, 3
SAID = [
    Pronunciation(1, (A, B)),
    Pronunciation(2, (A,), 0.25),
    Pronunciation(3, (B, A)),
    Pronunciation(4, (A,), 0.5),  # sounds as word 2 does
    Pronunciation(4, (B, B, A), 0.125),
]


@dataclass
class Monophones:
    per_phone: int
    width: int = 1

    def states(self, windows: Ints) -> list[tuple[int, ...]]:
        firsts = (windows[:, 0] - 1) * self.per_phone
        return [tuple(range(first, first + self.per_phone)) for first in firsts.tolist()]

    @property
    def num_states(self) -> int:
        return 3 * self.per_phone


@dataclass
class Triphones:
    """Silence has one state; others have two, tied by the left and by the right neighbour."""

    width: int = 3
    num_states: int = 1 + 2 * (4 + 4)

    def states(self, windows: Ints) -> list[tuple[int, ...]]:
        return [self.of(*window) for window in windows.tolist()]

    def of(self, left: int, phone: int, right: int) -> tuple[int, ...]:
        base = 1 + 8 * (phone - 2)
        return (0,) if phone == SILENCE else (base + left, base + 4 + right)


def language_model(order: int = 2) -> Ngrams:
    draw = random.Random(7)
    lines = [draw.choices(WORDS, [4, 3, 2, 1], k=draw.randint(1, 4)) for _ in range(60)]
    return estimate(index_sentences(lines), order).ngrams


def costs_of(num_states: int, skips: bool, seed: int = 0) -> TransitionCosts:
    draw = np.random.default_rng(seed)
    skip = draw.random(num_states) if skips else np.full(num_states, np.inf)
    return TransitionCosts(draw.random(num_states), draw.random(num_states), skip)


def graph_costs(  # noqa: C901 - one plain walk
    graph: Graph, scores: Floats
) -> dict[tuple[int, ...], float]:
    """Returns the cost of the best path of every word sequence: an exhaustive walk."""
    arcs: list[list[tuple[int, int, float, int]]] = [[] for _ in range(graph.num_states)]
    for source, *arc in zip(
        graph.sources().tolist(),
        graph.inputs.tolist(),
        graph.outputs.tolist(),
        graph.costs.tolist(),
        graph.targets.tolist(),
        strict=True,
    ):
        arcs[source].append(tuple(arc))
    beam: dict[tuple[int, tuple[int, ...]], float] = {(graph.start, ()): 0.0}

    def spread(beam: dict[tuple[int, tuple[int, ...]], float]) -> None:
        waiting = list(beam)
        while waiting:
            state, words = waiting.pop()
            for read, written, cost, target in arcs[state]:
                key = (target, (*words, written) if written else words)
                total = beam[state, words] + cost
                if read == 0 and total < beam.get(key, math.inf) - 1e-9 and len(key[1]) < 9:
                    beam[key] = total
                    waiting.append(key)

    spread(beam)
    for frame in scores:
        following: dict[tuple[int, tuple[int, ...]], float] = {}
        for (state, words), before in beam.items():
            for read, written, cost, target in arcs[state]:
                if read:
                    key = (target, (*words, written) if written else words)
                    total = before + cost - float(frame[read - 1])
                    following[key] = min(total, following.get(key, math.inf))
        beam = following
        spread(beam)
    found: dict[tuple[int, ...], float] = {}
    for (state, words), cost in beam.items():
        total = cost + float(graph.finals[state])
        if total < math.inf:
            found[words] = min(total, found.get(words, math.inf))
    return found


def said_in_full(
    words: Sequence[int], silence: Silence | None
) -> Iterator[tuple[list[int], float]]:
    """Yields every way to say words: phones with silences, and what that costs."""
    ways = [[p for p in SAID if p.word == word] for word in words]
    for chosen in itertools.product(*ways):
        for quiet in itertools.product([False, True], repeat=len(words) + 1 if silence else 0):
            phones: list[int] = []
            cost = sum(p.cost for p in chosen)
            for place in range(len(words) + 1):
                if place:
                    phones += chosen[place - 1].phones
                if silence is not None:
                    share = silence.probability if quiet[place] else 1 - silence.probability
                    cost += silence.exit * quiet[place] - math.log(share)
                    phones += [silence.phone] if quiet[place] else []
            yield phones, cost


def best_alignment(chain: list[tuple[int, int]], scores: Floats, costs: TransitionCosts) -> float:
    """Returns the cost of the best path through (state, states of its phone that follow)."""
    best = np.full(len(chain) + 1, np.inf)  # the last entry is the end
    best[0] = 0.0
    for frame in scores:
        arrived, best = best, np.full(len(chain) + 1, np.inf)
        for place, (state, following) in enumerate(chain):
            here = arrived[place] - frame[state]
            steps = [(0, costs.loop[state]), (1, costs.forward[state])]
            if following:
                steps.append((2, costs.skip[state]))
            for step, cost in steps:
                best[place + step] = min(best[place + step], here + cost)
    return float(best[-1])


def brute_force(
    words: tuple[int, ...],
    tying: Monophones | Triphones,
    costs: TransitionCosts,
    silence: Silence | None,
    scores: Floats,
    lm: float,
) -> float:
    totals = [math.inf]
    for phones, cost in said_in_full(words, silence):
        padded = [0, *phones, 0]
        chain: list[tuple[int, int]] = []
        for place in range(1, len(phones) + 1):
            window = padded[place - 1 : place + 2] if tying.width == 3 else [padded[place]]
            (states,) = tying.states(np.array([window]))
            chain += [(state, len(states) - 1 - n) for n, state in enumerate(states)]
        if chain:
            totals.append(lm + cost + best_alignment(chain, scores, costs))
    return min(totals)


def lm_cost(graph: Graph, words: Sequence[int], backoff: int) -> float:
    """Returns the cost of the cheapest path of words in G, back-off arcs being free to take."""
    copy = Graph(
        graph.start,
        graph.finals,
        graph.begins,
        np.where(graph.inputs == backoff, 0, graph.inputs),
        graph.outputs,
        graph.costs,
        graph.targets,
    )
    frames = np.full((len(words), len(WORDS)), -1e9)
    frames[range(len(words)), [word - 1 for word in words]] = 0.0
    return graph_costs(copy, frames).get(tuple(words), math.inf)


@pytest.mark.parametrize(
    "quiet", [None, Silence(SILENCE, 0.3, 0.7)], ids=["joined", "with_silence"]
)
@pytest.mark.parametrize(
    ("tying", "skips"),
    [(Monophones(1), False), (Monophones(3), True), (Monophones(2), False), (Triphones(), False)],
    ids=["1_state", "3_states_and_skips", "2_states", "triphones"],
)
def test_every_sentence_costs_as_much_as_its_best_alignment(
    tying: Monophones | Triphones, skips: bool, quiet: Silence | None
) -> None:
    ngrams, backoff = language_model(), len(WORDS) + 1
    costs = costs_of(tying.num_states, skips)
    graph = decoding_graph(ngrams, WORDS, SAID, 3, tying, costs, quiet)
    g = grammar(ngrams, WORDS, backoff)
    scores = np.log(np.random.default_rng(1).dirichlet(np.ones(tying.num_states), size=6))
    found = graph_costs(graph, scores)
    sentences = [s for size in range(1, 4) for s in itertools.product(range(1, 5), repeat=size)]
    for words in sentences:
        lm = lm_cost(g, words, backoff)
        expected = brute_force(words, tying, costs, quiet, scores, lm)
        assert found.get(words, math.inf) == pytest.approx(expected, abs=2e-2), words
    assert any(words in found for words in sentences if len(words) == 3)


def collapsed(path: Sequence[int], blank: int) -> tuple[int, ...]:
    return tuple(s for s, _ in itertools.groupby(path) if s != blank)


def test_every_sentence_of_a_ctc_output_costs_as_much_as_its_best_path() -> None:
    ngrams, backoff, blank = language_model(), len(WORDS) + 1, 3
    graph = ctc_graph(ngrams, WORDS, SAID, 3)
    g = grammar(ngrams, WORDS, backoff)
    scores = np.log(np.random.default_rng(2).dirichlet(np.ones(4), size=6))
    paths: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(4), repeat=6):
        labels = collapsed(path, blank)
        cost = -float(scores[range(6), path].sum())
        paths[labels] = min(cost, paths.get(labels, math.inf))
    found = graph_costs(graph, scores)
    for words in [s for size in range(1, 4) for s in itertools.product(range(1, 5), repeat=size)]:
        expected = min(
            paths.get(tuple(phone - 1 for phone in phones), math.inf) + cost
            for phones, cost in said_in_full(words, None)
        )
        expected += lm_cost(g, words, backoff)
        assert found.get(words, math.inf) == pytest.approx(expected, abs=2e-2), words
