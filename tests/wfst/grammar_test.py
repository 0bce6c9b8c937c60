"""G says of every sentence what the n-gram model says."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from asrkit.errors import UserError
from asrkit.lm.corpus import index_sentences
from asrkit.lm.kneser_ney import estimate
from asrkit.lm.tables import Ngrams
from asrkit.wfst.grammar import grammar
from asrkit.wfst.graph import Graph

WORDS = list("abcdef")


def model(order: int, prune: tuple[int, ...] = ()) -> Ngrams:
    draw = random.Random(4)
    lines = [draw.choices(WORDS, [6, 4, 3, 2, 1, 1], k=draw.randint(1, 6)) for _ in range(200)]
    return estimate(index_sentences(lines), order, prune).ngrams


def log10_of(ngrams: Ngrams, history: tuple[str, ...], word: str) -> float:
    """Looks an n-gram up as the definition says: as it is, else by backing off."""
    place = {symbol: number for number, symbol in enumerate(ngrams.symbols)}
    known = [
        {
            tuple(row): (float(p), float(b))
            for row, p, b in zip(t.words.tolist(), t.log_probs, t.log_backoffs, strict=True)
        }
        for t in ngrams.tables
    ]
    history = history[max(0, len(history) - ngrams.order + 1) :]
    gram = tuple(place[x] for x in (*history, word))
    if gram in known[len(gram) - 1]:
        return known[len(gram) - 1][gram][0]
    backoff = known[len(history) - 1].get(tuple(place[x] for x in history), (0.0, 0.0))[1]
    return backoff + log10_of(ngrams, history[1:], word)


def cost_in(graph: Graph, labels: list[int], backoff: int) -> float:
    """Walks a sentence; backs off only where a word has no arc."""
    state, cost = graph.start, 0.0

    def arc(label: int) -> int | None:
        low, high = graph.begins[state], graph.begins[state + 1]
        hits = [a for a in range(low, high) if graph.inputs[a] == label]
        assert len(hits) <= 1
        return hits[0] if hits else None

    for label in labels:
        while (found := arc(label)) is None:
            found = arc(backoff)
            assert found is not None
            cost, state = cost + float(graph.costs[found]), int(graph.targets[found])
        cost, state = cost + float(graph.costs[found]), int(graph.targets[found])
    while math.isinf(graph.finals[state]):
        found = arc(backoff)
        assert found is not None
        cost, state = cost + float(graph.costs[found]), int(graph.targets[found])
    return cost + float(graph.finals[state])


@pytest.mark.parametrize(
    ("order", "prune"), [(1, ()), (2, ()), (3, ()), (4, ()), (4, (0, 0, 1, 1))]
)
def test_every_sentence_costs_what_the_model_says(order: int, prune: tuple[int, ...]) -> None:
    ngrams = model(order, prune)
    backoff = len(WORDS) + 1
    graph = grammar(ngrams, WORDS, backoff)
    draw = random.Random(1)
    for _ in range(50):
        sentence = draw.choices(WORDS, k=draw.randint(0, 7))
        context = ["<s>"]
        expected = 0.0
        for word in [*sentence, "</s>"]:
            expected -= math.log(10) * log10_of(ngrams, tuple(context), word)
            context.append(word)
        labels = [WORDS.index(word) + 1 for word in sentence]
        assert cost_in(graph, labels, backoff) == pytest.approx(expected, abs=1e-5)


def test_sentences_of_fewer_words_cost_the_same_where_others_may_not_be_recognised() -> None:
    ngrams = model(3, (0, 0, 2))
    few, everything = grammar(ngrams, ["a", "b"], 9), grammar(ngrams, WORDS, 9)
    for labels in ([1], [2, 1], [1, 1, 2], [2, 2, 2, 1]):
        assert cost_in(few, labels, 9) == pytest.approx(cost_in(everything, labels, 9), abs=1e-5)


def test_words_that_may_not_be_recognised_have_no_arcs() -> None:
    graph = grammar(model(3), ["a", "c"], backoff=3)
    assert set(np.unique(graph.inputs)) == {1, 2, 3}
    assert not graph.outputs[graph.inputs == 3].any()


def test_words_of_another_model_are_refused() -> None:
    with pytest.raises(UserError, match="none of the 2 words"):
        grammar(model(2), ["HELLO", "YOU"], backoff=3)
