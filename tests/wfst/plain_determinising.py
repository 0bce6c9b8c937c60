"""Determinised lattices as they are defined, step by step: what the fast way is compared with."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field

import numpy as np

from asrkit.lm.tables import Floats, Ints
from asrkit.wfst import lattice_kernels as kernels
from asrkit.wfst.grammar_scores import GrammarScores, Histories
from asrkit.wfst.token_passing import Lattice


@dataclass
class State:
    """Places of a lattice where the same words may have been written.

    Args:
        places: (P,) in order.
        costs: (P, 2) of graph and frames, above those of the best one.
        histories: Of the grammar.
        cost: Of the best way here.
        to_end: Of the best way from here.
    """

    places: Ints
    costs: Floats
    histories: Histories
    cost: float
    to_end: float


@dataclass
class Made:
    arcs: list[tuple[int, int, int, Floats]] = field(default_factory=list)
    ends: dict[int, Floats] = field(default_factory=dict)


class Determinising:
    """A lattice on its way.

    Args:
        lattice: Of a search.
        grammar: That of its graph, if known.
        beam: Word sequences this much worse than the best one are left out.
    """

    def __init__(self, lattice: Lattice, grammar: GrammarScores | None, beam: float) -> None:
        self.lattice, self.grammar, self.beam = lattice, grammar, beam
        self.graph_costs = lattice.graph_costs.astype(np.float64)
        self.acoustic_costs = lattice.acoustic_costs.astype(np.float64)
        costs, ends = self.graph_costs + self.acoustic_costs, lattice.finals
        self.to_end = kernels.costs_to_end(costs, ends, lattice.sources, lattice.targets)
        self.scratch = np.full((len(ends), 2), np.inf)
        self.states: list[State] = []
        self.numbers: dict[tuple[bytes, bytes, Histories], int] = {}
        self.made = Made()

    def run(self, max_states: int, max_arcs: int) -> list[int]:
        """Goes from the first state on, best first; returns the states whose arcs are known."""
        none = np.zeros(1, np.int64)
        first = () if self.grammar is None else self.grammar.first()
        self._state(none, np.zeros((1, 2)), first, 0.0)
        best = self.states[0].to_end
        waiting, seen = [(best, 0)], dict[int, None]()
        while waiting and len(seen) < max_states and len(self.made.arcs) < max_arcs:
            _, number = heapq.heappop(waiting)
            if number in seen:
                continue
            seen[number] = None
            for target in self._expand(number, best + self.beam):
                if target not in seen:
                    state = self.states[target]
                    heapq.heappush(waiting, (state.cost + state.to_end, target))
        self.whole = not any(number not in seen for _, number in waiting)
        return [*seen]

    def _expand(self, number: int, limit: float) -> list[int]:
        """Adds the arcs of a state, and its end; returns where they lead."""
        state, lattice = self.states[number], self.lattice
        slack = limit - state.cost + 1e-6
        ended, arcs, costs = kernels.next_words_apart(
            state.places,
            state.costs,
            self.scratch,
            (lattice.words, self.graph_costs, self.acoustic_costs),
            (lattice.finals, lattice.sources, lattice.targets),
            self.to_end,
            slack,
        )
        if np.isfinite(ended[0]):
            last = 0.0 if self.grammar is None else self.grammar.end(state.histories)
            self.made.ends[number] = np.array([ended[1], last, ended[0] - last])
        words, targets = lattice.words[arcs], lattice.targets[arcs]
        order = np.lexsort((costs.sum(1), targets, words))
        words, targets, costs = words[order], targets[order].astype(np.int64), costs[order]
        cuts = [0, *(np.flatnonzero(words[1:] != words[:-1]) + 1).tolist(), len(words)]
        return [
            self._arc(number, int(words[begin]), targets[begin:end], costs[begin:end])
            for begin, end in itertools.pairwise(cuts)
            if end > begin
        ]

    def _arc(self, number: int, word: int, places: Ints, costs: Floats) -> int:
        """Adds an arc to places that were reached with some costs; returns the state there."""
        first = np.append(True, places[1:] != places[:-1])
        places, costs = places[first], costs[first]
        totals = costs.sum(1)
        best = costs[totals.argmin()]
        behind = totals + self.to_end[places]
        kept = behind <= behind.min() + self.beam
        state, lm = self.states[number], 0.0
        histories: Histories = ()
        if self.grammar is not None:
            lm, histories = self.grammar.after(state.histories, word)
        target = self._state(
            places[kept], costs[kept] - best, histories, state.cost + float(best.sum())
        )
        self.made.arcs.append((number, target, word, np.array([best[1], lm, best[0] - lm])))
        return target

    def _state(self, places: Ints, costs: Floats, histories: Histories, cost: float) -> int:
        """Returns the number of a state, which may be a new one."""
        # Adding 0 makes -0 the same as 0.
        key = places.tobytes(), (np.round(costs, 3) + 0.0).tobytes(), histories
        number = self.numbers.setdefault(key, len(self.states))
        if number == len(self.states):
            to_end = float((costs.sum(1) + self.to_end[places]).min())
            self.states.append(State(places, costs, histories, cost, to_end))
        elif cost < self.states[number].cost:
            self.states[number].cost = cost
        return number


@dataclass(frozen=True)
class Plain:
    """What a determinised lattice is made of.

    Args:
        states: Places and costs of the states whose arcs are known, in the order of their finding.
        arcs: Source, target, word, and costs of frames, grammar and the rest.
        ends: Costs of ending, by state.
        whole: Whether no state was left out.
    """

    states: dict[int, tuple[bytes, bytes]]
    arcs: list[tuple[int, int, int, list[float]]]
    ends: dict[int, list[float]]
    whole: bool


def plainly(
    lattice: Lattice,
    grammar: GrammarScores | None,
    beam: float,
    max_states: int,
    max_arcs: int,
) -> Plain:
    """Determinises a lattice; see `asrkit.wfst.determinised.determinised`."""
    making = Determinising(lattice, grammar, beam)
    expanded = making.run(max_states, max_arcs)
    states = making.states
    return Plain(
        {n: (states[n].places.tobytes(), states[n].costs.tobytes()) for n in expanded},
        [(a, b, word, costs.tolist()) for a, b, word, costs in making.made.arcs],
        {state: costs.tolist() for state, costs in making.made.ends.items()},
        making.whole,
    )
