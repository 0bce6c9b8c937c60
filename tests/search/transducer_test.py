"""Transducer search against enumeration of all alignments."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from asrkit.errors import UserError
from asrkit.lattice.topologies import CtcTopology, RnaTopology, RnntTopology, Topology
from asrkit.scorers.interfaces import State
from asrkit.scorers.length_reward import length_reward
from asrkit.search.forced import forced
from asrkit.search.transducer import TransducerSearch
from tests.search.search_test import Frames, Head, V, as_pairs

Labels = tuple[int, ...]
Found = tuple[Labels, int, float]  # label string, last symbol, log-probability
ALL = pytest.mark.parametrize("topology", [RnaTopology(), RnntTopology(), CtcTopology()])


@dataclass
class Symbols:
    """Log-probabilities (B, T, S, V + 1) of a frame's symbols; a state of S is that of a string."""

    tables: Tensor
    lengths: Tensor
    topology: Topology

    @property
    def blank(self) -> int:
        return V

    def initial_state(self) -> State:
        return torch.zeros_like(self.lengths)

    def enter(self, state: State, last: Tensor, frame: int) -> State:
        return state

    def score(self, state: State, frame: int) -> Tensor:
        rows = torch.arange(len(self.lengths)).repeat_interleave(len(state) // len(self.lengths))
        return self.tables[rows, frame, state]

    def advance(self, state: State, labels: Tensor) -> State:
        return (3 * state + labels + 1) % self.tables.shape[2]


class Transducer:
    def __init__(self, symbols: Symbols) -> None:
        self.symbols = symbols

    def symbol_scorer(self, encoded: Any) -> Symbols:
        return self.symbols


def example(topology: Topology, seed: int, lengths: list[int]) -> tuple[Symbols, Tensor]:
    torch.manual_seed(seed)
    scores = 2 * torch.randn(len(lengths), max(lengths), 5, V + 1)
    bigrams = (1.5 * torch.randn(len(lengths), V + 1, V + 1)).log_softmax(2)
    return Symbols(scores.log_softmax(3), torch.tensor(lengths), topology), bigrams


def moves(symbols: Symbols, row: int, frame: int, found: Found, most: int) -> Iterator[Found]:
    """Yields all that can become of a hypothesis in a frame."""
    labels, last, total = found
    state = torch.zeros(1, dtype=torch.int64)
    for label in labels:
        state = symbols.advance(state, torch.tensor([label]))
    scores = symbols.tables[row, frame, int(state)].tolist()
    yield labels, V, total + scores[V]
    for label in range(V if most else 0):
        gained = total + scores[label]
        if symbols.topology.labels_stay:
            yield from moves(symbols, row, frame, ((*labels, label), label, gained), most - 1)
        elif symbols.topology.symbols == 3 and label == last:
            yield labels, last, gained
        else:
            yield (*labels, label), label, gained


def enumerated(symbols: Symbols, row: int, add: bool, most: int) -> dict[Labels, float]:
    every: list[Found] = [((), V, 0.0)]
    for frame in range(int(symbols.lengths[row])):
        every = [new for old in every for new in moves(symbols, row, frame, old, most)]
    totals: dict[Labels, list[float]] = {}
    for labels, _, total in every:
        totals.setdefault(labels, []).append(total)
    return {
        labels: math.log(sum(map(math.exp, each))) if add else max(each)
        for labels, each in totals.items()
    }


@ALL
@pytest.mark.parametrize("recombination", ["sum", "max", "none"])
@pytest.mark.parametrize("weights", [{}, {"attention": 0.7, "length": 0.4}])
@pytest.mark.parametrize("seed", range(2))
def test_wide_beams_equal_enumeration(
    topology: Topology, recombination: Any, weights: dict[str, float], seed: int
) -> None:
    lengths = [3, 2, 1] if topology.labels_stay else [4, 3, 1]
    symbols, bigrams = example(topology, seed, lengths)
    heads: dict[str, Any] = {
        "transducer": Transducer(symbols),
        "attention": Head(Frames(symbols.tables[:, :, 0], symbols.lengths), bigrams),
        "length": length_reward(V),
    }
    scorers = {"transducer": 1.0, **weights}
    search = TransducerSearch(400, scorers, recombination=recombination, max_symbols=2)
    for row, n_best in enumerate(search.over(heads).run(symbols)):
        exact = enumerated(symbols, row, recombination != "max", 2)
        assert {tuple(h.labels) for h in n_best} == exact.keys()
        for hypothesis in n_best:
            labels = tuple(hypothesis.labels)
            steps = itertools.pairwise((V, *labels, V))
            said = weights.get("attention", 0.0) * sum(float(bigrams[row][a, b]) for a, b in steps)
            expected = exact[labels] + said + weights.get("length", 0.0) * len(labels)
            assert hypothesis.score == pytest.approx(expected, abs=1e-4)
            total = sum(w * hypothesis.scores[name] for name, w in scorers.items())
            assert hypothesis.score == pytest.approx(total, abs=1e-4)
        assert n_best == sorted(n_best, key=lambda h: -h.score)


@ALL
@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_batch_finds_what_single_utterances_find(topology: Topology, beam_size: int) -> None:
    symbols, bigrams = example(topology, 3, [6, 1, 4, 5])
    search = TransducerSearch(beam_size, {"transducer": 1.0, "attention": 0.5})

    def run(rows: list[int]) -> Any:
        part = Symbols(symbols.tables[rows], symbols.lengths[rows], topology)
        frames = Frames(part.tables[:, :, 0], part.lengths)
        heads: dict[str, Any] = {"transducer": Transducer(part)}
        return search.over(heads | {"attention": Head(frames, bigrams[rows])}).run(part)

    together = run([0, 1, 2, 3])
    for row in range(4):
        assert as_pairs(run([row])[0]) == as_pairs(together[row])


def greedy(symbols: Symbols, row: int, most: int) -> Labels:
    state, labels, last = torch.zeros(1, dtype=torch.int64), [], V
    for frame in range(int(symbols.lengths[row])):
        for taken in itertools.count():
            scores = symbols.tables[row, frame, int(state)]
            symbol = V if taken == most else int(scores.argmax())
            repeated = symbols.topology.symbols == 3 and symbol == last
            last = symbol
            if symbol != V and not repeated:
                labels.append(symbol)
                state = symbols.advance(state, torch.tensor([symbol]))
            if symbol == V or not symbols.topology.labels_stay:
                break
    return tuple(labels)


@ALL
@pytest.mark.parametrize("most", [1, 3])
def test_a_beam_of_one_is_greedy(topology: Topology, most: int) -> None:
    for seed in range(10):
        symbols, _ = example(topology, seed, [9, 6])
        heads: dict[str, Any] = {"transducer": Transducer(symbols)}
        found = TransducerSearch(1, max_symbols=most).over(heads).run(symbols)
        assert [tuple(n[0].labels) for n in found] == [greedy(symbols, r, most) for r in (0, 1)]


@pytest.mark.parametrize("most", [1, 2, 4])
def test_a_frame_has_at_most_so_many_labels(most: int) -> None:
    symbols, _ = example(RnntTopology(), 0, [3])
    symbols.tables[..., V] -= 50  # a label is always better, until blank has to be paid for
    heads: dict[str, Any] = {"transducer": Transducer(symbols)}
    (n_best,) = TransducerSearch(1, max_symbols=most).over(heads).run(symbols)
    assert len(n_best[0].labels) == 3 * most


def test_what_is_no_transducer_is_refused() -> None:
    symbols, bigrams = example(RnaTopology(), 0, [3])
    other: dict[str, Any] = {"transducer": Head(Frames(symbols.tables[:, :, 0], symbols.lengths))}
    with pytest.raises(
        UserError, match="the Head scores labels and frames, not .* expected a transducer"
    ):
        TransducerSearch(4).over(other).run(symbols)
    with pytest.raises(ValueError, match="must be one of the scorers: ctc"):
        TransducerSearch(4, {"ctc": 1.0})
    with pytest.raises(ValueError, match="max_symbols \\(0\\) must be at least 1"):
        TransducerSearch(4, max_symbols=0)


@ALL
@pytest.mark.parametrize("recombination", ["sum", "max", "none"])
@pytest.mark.parametrize("seed", range(4))
def test_no_label_string_is_twice_in_a_list(
    topology: Topology, recombination: Any, seed: int
) -> None:
    symbols, _ = example(topology, seed, [7, 4])
    search = TransducerSearch(6, recombination=recombination, max_symbols=3)
    for found in search.over({"transducer": Transducer(symbols)}).run(symbols):
        strings = [tuple(hypothesis.labels) for hypothesis in found]
        assert len(strings) > 1
        assert len(set(strings)) == len(strings)


@ALL
@pytest.mark.parametrize("recombination", ["sum", "max", "none"])
def test_held_to_labels_it_says_what_the_free_search_says(
    topology: Topology, recombination: Any
) -> None:
    symbols, bigrams = example(topology, 5, [3, 2])
    heads: dict[str, Any] = {
        "transducer": Transducer(symbols),
        "attention": Head(Frames(symbols.tables[:, :, 0], symbols.lengths), bigrams),
    }
    scorers = {"transducer": 1.0, "attention": 0.7}
    wide = TransducerSearch(600, scorers, recombination=recombination, max_symbols=2)
    lists = wide.over(heads).run(symbols)
    narrow = TransducerSearch(1, scorers, recombination=recombination, max_symbols=2).over(heads)
    for place in range(5):
        references = [n_best[place].labels for n_best in lists]
        for row, one in enumerate(forced(narrow, symbols, references, V)):
            assert one is not None
            assert one.labels == references[row]
            assert one.score == pytest.approx(lists[row][place].score, abs=1e-4)
            assert one.scores == pytest.approx(lists[row][place].scores, abs=1e-4)
