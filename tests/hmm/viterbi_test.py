"""Best paths against all paths of small graphs, and against signals whose states are known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from asrkit.errors import UserError
from asrkit.hmm import viterbi
from asrkit.hmm.alignments import alignment_of, flat_alignment
from asrkit.hmm.gaussians import mixed_up, single_gaussians
from asrkit.hmm.graphs import GraphCompiler, PhoneGraph, UtteranceGraph, state_graph, transitions_of
from asrkit.hmm.topology import Costs, HmmTopology, Phones, published_topology
from asrkit.hmm.tree import monophone_tree
from asrkit.hmm.viterbi import best_path, best_path_by_mixtures
from tests.hmm.toy import COMPILER, LEXICON, PHONES, TOPOLOGY, TREE, Speaker

SKIPPING = HmmTopology(
    3, 2, Costs(1.0, 0.5, 2.5, 0.25), Costs(0.0, 3.0, math.inf, 2.0), Costs(0.0, 3.0, math.inf, 6.0)
)


def graph_of(words: list[str], topology: HmmTopology) -> tuple[PhoneGraph, UtteranceGraph]:
    tree = monophone_tree(PHONES, topology)
    phones = COMPILER.compile(words)
    return phones, state_graph(phones, topology, tree, transitions_of(topology, tree))


def said(words: list[str], topology: HmmTopology) -> Iterator[tuple[list[tuple[str, int]], float]]:
    """Yields the phones' states of every way to say words, and what it costs but for loops."""
    pause = math.log(2)
    ways: list[tuple[list[tuple[str, bool]], float]] = [([], pause), ([("SIL", True)], pause)]
    for word in words:
        ways = [
            (
                [
                    *before,
                    *((p, i == len(one.phones) - 1) for i, p in enumerate(one.phones)),
                    *after,
                ],
                paid + one.cost + pause,
            )
            for before, paid in ways
            for one in LEXICON[word]
            for after in ([], [("SIL", True)])
        ]
    for phones, paid in ways:
        yield from _states(phones, paid, topology)


def _states(
    phones: list[tuple[str, bool]], paid: float, topology: HmmTopology
) -> Iterator[tuple[list[tuple[str, int]], float]]:
    if not phones:
        yield [], paid
        return
    (name, leaves_word), *rest = phones
    costs, size = topology.costs_of(name), topology.states_of(name)
    for path, cost in _through(0, size, costs):
        for after, more in _states(rest, paid, topology):
            exit_cost = costs.exit if leaves_word else 0.0
            yield [(name, state) for state in path] + after, cost + exit_cost + more


def _through(state: int, size: int, costs: Costs) -> Iterator[tuple[list[int], float]]:
    for step, cost in ((1, costs.forward), (2, costs.skip)):
        if math.isinf(cost) or state + step > size:
            continue
        if state + step == size:
            yield [state], cost
        else:
            yield from (([state, *p], cost + c) for p, c in _through(state + step, size, costs))


def stretched(states: list[tuple[str, int]], frames: int) -> Iterator[list[tuple[str, int]]]:
    """Yields every way to spend so many frames in states, each at least once."""
    if len(states) == 1 and frames:
        yield states * frames
    for first in range(1, frames - len(states) + 2) if len(states) > 1 else ():
        yield from (states[:1] * first + rest for rest in stretched(states[1:], frames - first))


@pytest.mark.parametrize(
    "topology", [TOPOLOGY, SKIPPING, HmmTopology(1, 1), published_topology(3, 1)]
)
@pytest.mark.parametrize("words", [["d"], ["ab", "d"], ["ca"], []])
def test_the_best_path_is_the_best_of_all(words: list[str], topology: HmmTopology) -> None:
    tree = monophone_tree(PHONES, topology)
    frames = 9
    random = np.random.default_rng(len(words))
    scores = random.normal(size=(frames, tree.num_states)).astype(np.float32) * 3
    zero = np.zeros(1, np.int64)

    def tied(name: str, state: int) -> int:
        ids = np.array([PHONES.ids[name]])
        return int(tree.look_up(zero, ids, zero, np.array([state]))[0])

    best = -math.inf
    for states, paid in said(words, topology):
        for path in stretched(states, frames) if states else ():
            same = [a for a, b in zip(path, path[1:], strict=False) if a == b]
            # Equal neighbours are loops: a phone's states differ, and "ca" and "d" share none.
            loops = sum(topology.costs_of(name).loop for name, _ in same)
            heard = sum(float(scores[t, tied(*state)]) for t, state in enumerate(path))
            best = max(best, heard - paid - loops)
    phones, expanded = graph_of(words, topology)
    found = best_path(expanded.graph, scores, expanded.graph.states, beam=math.inf)
    assert found is not None
    assert found.score == pytest.approx(best, abs=1e-4)
    narrow = best_path(expanded.graph, scores, expanded.graph.states, beam=20.0)
    assert narrow is not None
    assert narrow.score <= found.score + 1e-4


def test_no_path_where_there_are_too_few_frames_and_a_wider_beam_where_it_helps() -> None:
    _, expanded = graph_of(["ab"], TOPOLOGY)
    scores = np.zeros((5, TREE.num_states), np.float32)
    assert best_path(expanded.graph, scores, expanded.graph.states) is None
    assert best_path(expanded.graph, scores[:0], expanded.graph.states) is None
    scores = np.zeros((6, TREE.num_states), np.float32)
    phone = PHONES.ids["A"]
    scores[0, TREE.roots[phone, 0]] = -5000.0  # silence is better at first, but then too long
    found = best_path(expanded.graph, scores, expanded.graph.states, beam=1.0)
    assert found is not None
    assert expanded.graph.states[found.states[0]] == TREE.roots[phone, 0]


def test_scores_that_are_no_numbers_and_columns_that_are_not_there_are_refused() -> None:
    _, expanded = graph_of(["ab"], TOPOLOGY)
    scores = np.full((9, TREE.num_states), np.nan, np.float32)
    with pytest.raises(ValueError, match="NaN"):
        best_path(expanded.graph, scores, expanded.graph.states)
    with pytest.raises(ValueError, match="column"):
        best_path(expanded.graph, np.zeros((9, 3), np.float32), expanded.graph.states)


def test_compiled_and_plain_loops_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    _, expanded = graph_of(["ab", "ca", "d"], SKIPPING)
    tree = monophone_tree(PHONES, SKIPPING)
    scores = np.random.default_rng(5).normal(size=(40, tree.num_states)).astype(np.float32)
    fast = best_path(expanded.graph, scores, expanded.graph.states, beam=30.0)
    for name in ("_search", "_entered", "_prune", "_traced", "_log_likelihood"):
        function = getattr(viterbi, name)
        monkeypatch.setattr(viterbi, name, getattr(function, "py_func", function))
    slow = best_path(expanded.graph, scores, expanded.graph.states, beam=30.0)
    assert fast is not None
    assert slow is not None
    assert fast.score == slow.score
    assert fast.states.tolist() == slow.states.tolist()


def test_scores_of_mixtures_are_those_of_their_states() -> None:
    torch.manual_seed(0)
    words = ["ab", "ca", "d"]
    _, expanded = graph_of(words, TOPOLOGY)
    frames, states = torch.randn(60, 5), torch.arange(2000) % TREE.num_states
    mixtures = single_gaussians(torch.randn(2000, 5), states, TREE.num_states)
    mixtures = mixed_up(mixtures, torch.bincount(states), 2 * TREE.num_states, min_frames=5)
    mixtures = replace(mixtures, means=mixtures.means + torch.randn_like(mixtures.means))
    scores = mixtures.log_likelihoods(frames).numpy()
    for beam in (math.inf, 30.0):
        one = best_path(expanded.graph, scores, expanded.graph.states, beam)
        other = best_path_by_mixtures(expanded.graph, mixtures, frames, beam)
        assert one is not None
        assert other is not None
        assert other.score == pytest.approx(one.score, abs=1e-2)
        assert other.states.tolist() == one.states.tolist()
    frames[3, 2] = math.nan
    with pytest.raises(ValueError, match="finite"):
        best_path_by_mixtures(expanded.graph, mixtures, frames)


def test_signals_of_known_states_are_aligned_within_two_frames() -> None:
    speaker = Speaker(distance=2.0)
    frames, truth = zip(*(speaker.say(speaker.words(6)) for _ in range(5)), strict=True)
    states = torch.cat([torch.from_numpy(one.states) for one in truth]).long()
    mixtures = single_gaussians(torch.cat(frames), states, TREE.num_states)
    close = total = 0
    for _ in range(20):
        words = speaker.words(8)
        signal, real = speaker.say(words)
        phones, expanded = graph_of(words, TOPOLOGY)
        scores = mixtures.log_likelihoods(signal).numpy()
        path = best_path(expanded.graph, scores, expanded.graph.states)
        assert path is not None
        found = alignment_of(path.states, expanded, phones)
        starts = list(zip(found.phones.tolist(), found.starts.tolist(), strict=True))
        for phone, start in zip(real.phones.tolist(), real.starts.tolist(), strict=True):
            total += 1
            close += any(p == phone and abs(s - start) <= 2 for p, s in starts)
    assert close >= 0.95 * total


def test_a_flat_alignment_gives_all_states_equal_shares() -> None:
    phones, expanded = graph_of(["ab", "ca"], TOPOLOGY)
    # Silence three times, A B, and the longer C D A: 8 phones of 3 states.
    found = flat_alignment(phones, expanded, 48)
    assert found is not None
    names = [PHONES.names[phone] for phone in found.phones]
    assert names == ["SIL", "A", "B", "SIL", "C", "D", "A", "SIL"]
    assert found.durations.tolist() == [6] * 8
    assert found.words.tolist() == [-1, 0, 0, -1, 1, 1, 1, -1]
    assert [(s.label, s.start, s.end) for s in found.word_spans()] == [(0, 6, 18), (1, 24, 42)]
    assert flat_alignment(phones, expanded, 23) is None


def test_words_and_phones_that_are_lacking_are_named() -> None:
    with pytest.raises(UserError, match="no pronunciation of 'xy'"):
        COMPILER.compile(["ab", "xy"])
    with pytest.raises(UserError, match="phones that the model lacks: D"):
        GraphCompiler(LEXICON, Phones(["A", "B", "C"]))
    noisy = GraphCompiler(LEXICON, PHONES, unknown_as_noise=True)
    assert PHONES.ids["SPN"] in noisy.compile(["xy"]).contexts[:, 1]


def test_phones_stand_in_the_graph_once_for_each_pair_of_neighbours() -> None:
    phones = COMPILER.compile(["d", "ca"])
    rows = phones.contexts[phones.words == 0].tolist()
    found = sorted(tuple(PHONES.names[i] for i in row) for row in rows)
    edges = ["<edge>", "SIL"]
    assert found == sorted((left, "D", right) for left in edges for right in ("C", "SIL"))
