"""C and H: phones in context as chains of HMM states, which graphs read in the end.

Labels of the finished graph are states: state s is label s + 1, as column s of a matrix of scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from asrkit.lm.tables import Floats, Ints, SmallFloats, SmallInts
from asrkit.wfst.graph import EPSILON, Graph, graph_of, graph_of_arcs

Window = tuple[int, ...]
"""Phones from left to right, the spoken one in the middle; 0 beyond the ends of the utterance."""


class StateTying(Protocol):
    """Which HMM states a phone has in its context.

    `width` is the number of phones of a window: 1 or 3.
    """

    width: int

    def states(self, window: Window) -> Sequence[int]:
        """Returns the states, from 0 on, of the phone in the middle."""
        ...


@dataclass(frozen=True)
class TransitionCosts:
    """What an HMM's moves cost, for each of S states.

    Args:
        loop: (S,) staying in the state for a frame more.
        forward: (S,) going to the next state of the phone.
        skip: (S,) going to the state after the next one; infinite where that is impossible.
        exit: (S,) leaving the phone from its last state.
    """

    loop: Floats
    forward: Floats
    skip: Floats
    exit: Floats


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
    numbers: dict[tuple[int, ...], int] = {}
    of_label = np.zeros(len(windows), np.int64)
    special: dict[int, list[int]] = {}
    for label, window in enumerate(windows):
        if len(window) == 1 and window[0] <= 0:
            special.setdefault(window[0], []).append(label)
        elif window:
            chain = tuple(tying.states(tuple(window)))
            of_label[label] = numbers.setdefault(chain, len(numbers) + 1)
    disambiguation = []
    # The one that is 0 takes the place of epsilon where the context of a phone is still open.
    for number, labels in enumerate(special.values(), start=len(numbers) + 1):
        of_label[labels] = number
        disambiguation.append(number)
    of_label[0] = EPSILON
    return Chains(list(numbers), of_label, disambiguation)


def hmm_graph(chains: Chains, costs: TransitionCosts) -> Graph:
    """Returns H: from labels of states to numbers of chains; without loops, which come last."""
    arcs: list[tuple[int, int, int, float, int]] = []
    free = 1
    for number, states in enumerate(chains.chains, start=1):
        last = len(states) - 1
        places = [0, *range(free, free + last), 0]
        free += last
        for place, state in enumerate(states):
            out = float(costs.exit[state]) if place == last else 0.0
            if place == 0:  # the chain's number is written as it is entered
                arcs.append((0, state + 1, number, out, places[1]))
            else:
                cost = float(costs.forward[states[place - 1]]) + out
                arcs.append((places[place], state + 1, EPSILON, cost, places[place + 1]))
            if place > 1 and np.isfinite(costs.skip[states[place - 2]]):
                cost = float(costs.skip[states[place - 2]]) + out
                arcs.append((places[place - 1], state + 1, EPSILON, cost, places[place + 1]))
    for place, number in enumerate(chains.disambiguation, start=1):
        arcs.append((0, len(costs.loop) + place, number, 0.0, 0))
    return graph_of_arcs(0, {0: 0.0}, arcs)


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
