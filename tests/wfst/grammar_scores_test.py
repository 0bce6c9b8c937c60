"""What G says of words: the lowest of all its paths, back-offs included."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from asrkit.lm.entropy_pruning import pruned
from asrkit.wfst.grammar import grammar
from asrkit.wfst.grammar_scores import GrammarScores, by_label
from asrkit.wfst.graph import Graph
from tests.wfst.grammar_test import WORDS, cost_in, model

BACKOFF = len(WORDS) + 1


def lowest(graph: Graph, state: int, words: tuple[int, ...]) -> float:
    """Tries all paths."""
    best = float(graph.finals[state]) if not words else math.inf
    for arc in range(graph.begins[state], graph.begins[state + 1]):
        cost, target = float(graph.costs[arc]), int(graph.targets[arc])
        if graph.inputs[arc] == BACKOFF:
            best = min(best, cost + lowest(graph, target, words))
        elif words and graph.inputs[arc] == words[0]:
            best = min(best, cost + lowest(graph, target, words[1:]))
    return best


def said(scores: GrammarScores, words: tuple[int, ...]) -> float:
    histories, total = scores.first(), 0.0
    for word in words:
        cost, histories = scores.after(histories, word)
        total += cost
    return total + scores.end(histories)


@pytest.mark.parametrize("entropy", [0.0, 1e-3])
def test_words_cost_what_the_best_path_costs(entropy: float) -> None:
    ngrams = model(3)
    graph = grammar(pruned(ngrams, entropy) if entropy else ngrams, WORDS, BACKOFF)
    scores = GrammarScores(by_label(graph), BACKOFF)
    for words in itertools.product(range(1, 5), repeat=3):
        assert said(scores, words) == pytest.approx(lowest(graph, graph.start, words), abs=1e-4)
        assert said(scores, words) <= cost_in(graph, [*words], BACKOFF) + 1e-4
    assert said(scores, ()) == pytest.approx(lowest(graph, graph.start, ()), abs=1e-4)


def test_words_that_g_lacks_are_told() -> None:
    graph = grammar(model(2), WORDS[:2], 3)
    scores = GrammarScores(by_label(graph), 3)
    with pytest.raises(ValueError, match="no arc of the word 9"):
        scores.after(scores.first(), 9)
    assert np.isfinite(said(scores, (1, 2)))
