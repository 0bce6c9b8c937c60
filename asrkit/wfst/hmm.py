"""C and H: phones in context as chains of HMM states, which graphs read in the end.

Labels of the finished graph are states: state s is label s + 1, as column s of a matrix of scores.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from asrkit.lm.tables import Floats, Ints, SmallFloats, SmallInts
from asrkit.wfst.graph import EPSILON, Graph, graph_of, graph_of_arcs


class StateTying(Protocol):
    """Which HMM states phones have in their contexts.

    `width` is the number of phones of a window, 1 or 3: from left to right, the spoken one in the
    middle; 0 beyond the ends of the utterance.
    """

    @property
    def width(self) -> int:
        """Phones of a window."""
        ...

    def states(self, windows: Ints) -> list[tuple[int, ...]]:
        """Returns the states, from 0 on, of the phones in the middle of windows (N, width)."""
        ...


@dataclass(frozen=True)
class TransitionCosts:
    """What an HMM's moves cost, for each of S states.

    Args:
        loop: (S,) staying in the state for another frame.
        forward: (S,) going to the next state of the phone, or out of the last one.
        skip: (S,) going to the state after the next, or over the last one out of the phone;
            infinite where that is impossible.
    """

    loop: Floats
    forward: Floats
    skip: Floats


@dataclass(frozen=True)
class Chains:
    """The distinct chains of states that windows have, numbered from 1 on.

    Args:
        chains: States of each.
        of_label: (N,) number of the chain of each label of the context-dependent graph; for
            disambiguation symbols a number above all chains', for no label 0.
        disambiguation: The numbers of disambiguation symbols.
    """

    chains: list[tuple[int, ...]]
    of_label: Ints
    disambiguation: list[int]


def chains_of(windows: Sequence[Sequence[int]], tying: StateTying) -> Chains:
    """Returns the chains of windows by label; a negative number stands for disambiguation.

    Most phones in context share their states with others, so that a graph of chains is several
    times smaller than one of windows.
    """
    # Windows of one number that is not above 0 are not phones. That of 0 takes the place of epsilon
    # where the context of a phone is still open.
    special = [w[0] if len(w) == 1 and w[0] <= 0 else None for w in windows]
    labels = [label for label, w in enumerate(windows) if w and special[label] is None]
    states = tying.states(np.array([windows[label] for label in labels]).reshape(-1, tying.width))
    numbers = {chain: number for number, chain in enumerate(dict.fromkeys(states), start=1)}
    marks = [mark for mark in dict.fromkeys(special) if mark is not None]
    marked = {mark: number for number, mark in enumerate(marks, start=len(numbers) + 1)}
    of_label = np.array([EPSILON if mark is None else marked[mark] for mark in special])
    of_label[labels] = [numbers[chain] for chain in states]
    return Chains(list(numbers), of_label, list(marked.values()))


def hmm_graph(chains: Chains, costs: TransitionCosts) -> Graph:
    """Returns H: from labels of states to numbers of chains; without loops, which come last."""
    arcs: list[tuple[int, int, int, float, int]] = []
    free = 1
    for number, states in enumerate(chains.chains, start=1):
        arcs += _chain(number, states, costs, free)
        free += len(states) - 1
    for place, number in enumerate(chains.disambiguation, start=1):
        arcs.append((0, len(costs.loop) + place, number, 0.0, 0))
    return graph_of_arcs(0, {0: 0.0}, arcs)


def _chain(
    number: int, states: Sequence[int], costs: TransitionCosts, free: int
) -> Iterator[tuple[int, int, int, float, int]]:
    """Yields the arcs of a chain of n states; state i is entered by arcs to its place i + 1."""
    last = len(states) - 1
    places = [0, *range(free, free + last), 0]
    for i, state in enumerate(states):
        # From where it is entered, what is written then, and at which cost.
        entries = [(0, number, 0.0)] if i == 0 else [(i, EPSILON, costs.forward[states[i - 1]])]
        if i > 1:
            entries.append((i - 1, EPSILON, costs.skip[states[i - 2]]))
        # The way out of the phone is paid as the state is entered.
        exits = [(places[i + 1], costs.forward[state] if i == last else 0.0)]
        if i == last - 1:
            exits.append((0, costs.skip[state]))
        for (source, written, cost), (target, out) in itertools.product(entries, exits):
            if np.isfinite(cost + out):
                yield places[source], state + 1, written, float(cost + out), target


def with_loops(graph: Graph, loops: Floats, num_states: int) -> Graph:
    """Returns a graph of HMM states in which each may last any number of frames.

    Disambiguation symbols, labels above the number of states, are no longer read. Loops are where
    arcs that read a state lead to; where arcs of different states lead to one place, each state
    gets a place of its own, with an arc on from there that reads nothing.

    Args:
        graph: Reads labels of states, and disambiguation symbols above them.
        loops: (S,) costs of staying in each state.
        num_states: S.
    """
    graph = without(graph, num_states)
    inputs, sources, targets = graph.inputs, graph.sources(), graph.targets.astype(np.int64)
    reads = inputs != EPSILON
    keys = targets * (num_states + 1) + inputs
    places, entry = np.unique(keys[reads], return_inverse=True)
    place_target, place_label = places // (num_states + 1), places % (num_states + 1)
    kinds = np.bincount(place_target, minlength=graph.num_states)
    kinds += np.bincount(targets[~reads], minlength=graph.num_states) > 0
    kinds[graph.start] += 1  # paths begin there without having read anything
    own = kinds[place_target] > 1  # the place is not that of a single state
    numbers = np.where(own, graph.num_states + np.cumsum(own) - 1, place_target)
    moved = targets.copy()
    moved[reads] = numbers[entry]
    total = graph.num_states + int(own.sum())
    finals = np.full(total, np.inf)
    finals[: graph.num_states] = graph.finals
    bridges = int(own.sum())
    return graph_of(
        graph.start,
        finals,
        np.concatenate([sources, numbers, numbers[own]]),
        np.concatenate([inputs, place_label, np.zeros(bridges, np.int64)]),
        np.concatenate([graph.outputs, np.zeros(len(numbers) + bridges, np.int64)]),
        np.concatenate([graph.costs, loops[place_label - 1], np.zeros(bridges)]),
        np.concatenate([moved, numbers, place_target[own]]),
    )


def without(graph: Graph, highest: int) -> Graph:
    """Returns the graph reading nothing where it reads a label above the highest one."""
    table = np.arange(max(highest, int(graph.inputs.max(initial=0))) + 1)
    table[highest + 1 :] = EPSILON
    return relabelled(graph, table)


def relabelled(graph: Graph, of_label: Ints) -> Graph:
    """Returns the graph with the labels that it reads mapped by a table."""
    inputs: SmallInts = of_label[graph.inputs].astype(np.int32)
    finals: SmallFloats = graph.finals
    return Graph(
        graph.start, finals, graph.begins, inputs, graph.outputs, graph.costs, graph.targets
    )
