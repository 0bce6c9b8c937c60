"""Determinised lattices of words: each word sequence once, its scores apart.

Source: Povey et al. 2012, "Generating exact lattices in the WFST framework" (determinisation that
keeps the best path of each word sequence, best states first, within a beam and a limit of states).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from asrkit.lm.tables import Floats, Ints
from asrkit.wfst import lattice_kernels as kernels
from asrkit.wfst.grammar_scores import GrammarScores, Histories
from asrkit.wfst.token_passing import Lattice

PARTS = ("acoustic", "lm", "pronunciation")
"""What the scores of a path are made of; the last is all of a graph that isn't its LM."""
MAX_STATES = 20_000
MAX_ARCS = 5_000
"""About a hundred for each word; the best are found first."""


@dataclass(frozen=True)
class WordLattice:
    """Word sequences as paths between N states, L arcs; no two arcs of a state have one word.

    Paths begin in state 0; arcs lead to states of higher numbers, and are sorted by source. Scores
    are log-probabilities without weights, of the three `PARTS`.

    Args:
        frames: (N,) how many frames were heard when the last word was written.
        ends: (N, 3) scores of ending; -inf where no path ends.
        sources: (L,) states.
        targets: (L,) states.
        words: (L,) labels, from 1.
        scores: (L, 3).
        whole: Whether no state was left out for lack of room.
    """

    frames: Ints
    ends: Floats
    sources: Ints
    targets: Ints
    words: Ints
    scores: Floats
    whole: bool = True


@dataclass
class _State:
    """Places of a lattice where the same words may have been written.

    Args:
        places: (P,) in order.
        costs: (P, 2) of graph and frames, above those of the best one.
        histories: Of the grammar.
        cost: Of the best way here.
        to_end: Of the best way from here.
        top: The best place.
    """

    places: Ints
    costs: Floats
    histories: Histories
    cost: float
    to_end: float
    top: int


@dataclass
class _Made:
    arcs: list[tuple[int, int, int, tuple[float, float, float]]] = field(default_factory=list)
    ends: dict[int, Floats] = field(default_factory=dict)


class Determinising:
    """A lattice on its way.

    Args:
        lattice: Of a search.
        grammar: That of its graph, if known.
        beam: Word sequences this much worse than the best one are left out.
    """

    def __init__(self, lattice: Lattice, grammar: GrammarScores | None, beam: float) -> None:
        self.grammar, self.beam = grammar, beam
        graph_costs = lattice.graph_costs.astype(np.float64)
        acoustic_costs = lattice.acoustic_costs.astype(np.float64)
        costs, ends = graph_costs + acoustic_costs, lattice.finals
        self.arcs = lattice.words, graph_costs, acoustic_costs
        self.places = ends, lattice.sources, lattice.targets
        self.to_end = kernels.costs_to_end(costs, ends, lattice.sources, lattice.targets)
        self.scratch = np.full((len(ends), 2), np.inf)
        self.states: list[_State] = []
        self.numbers: dict[tuple[bytes, bytes, Histories], int] = {}
        self.made = _Made()

    def run(self, max_states: int, max_arcs: int) -> list[int]:
        """Goes from the first state on, best first; returns the states whose arcs are known."""
        best = float(self.to_end[0])
        first = () if self.grammar is None else self.grammar.first()
        self.states.append(_State(np.zeros(1, np.int64), np.zeros((1, 2)), first, 0.0, best, 0))
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
        state = self.states[number]
        slack = limit - state.cost + 1e-6
        ended, words, lowest, ways, tops, begins, places, costs = kernels.word_arcs(
            state.places,
            state.costs,
            self.scratch,
            self.arcs,
            self.places,
            self.to_end,
            slack,
            self.beam,
        )
        if np.isfinite(ended[0]):
            last = 0.0 if self.grammar is None else self.grammar.end(state.histories)
            self.made.ends[number] = np.array([ended[1], last, ended[0] - last])
        # Rounded costs as bytes, by which equal states are found.
        same = np.rint(1000.0 * costs).astype(np.int64).tobytes(), places.tobytes()
        cuts, targets = begins.tolist(), []
        for begin, end, word, (graph, frames), way, top in zip(
            cuts[:-1], cuts[1:], words.tolist(), lowest.tolist(), ways.tolist(), tops.tolist(),
            strict=True,
        ):  # fmt: skip
            lm, histories = 0.0, state.histories
            if self.grammar is not None:
                lm, histories = self.grammar.after(state.histories, word)
            key = same[0][16 * begin : 16 * end], same[1][8 * begin : 8 * end], histories
            cost = state.cost + (graph + frames)
            target = self.numbers.setdefault(key, len(self.states))
            if target == len(self.states):
                found = places[begin:end], costs[begin:end]
                self.states.append(_State(*found, histories, cost, way, top))
            elif cost < self.states[target].cost:
                self.states[target].cost = cost
            self.made.arcs.append((number, target, word, (frames, lm, graph - lm)))
            targets.append(target)
        return targets


def determinised(
    lattice: Lattice,
    grammar: GrammarScores | None,
    acoustic_scale: float,
    beam: float = np.inf,
    max_states: int = MAX_STATES,
    max_arcs: int = MAX_ARCS,
) -> WordLattice:
    """Returns a lattice with each word sequence once, by its best path.

    Args:
        lattice: Of a search.
        grammar: Of its graph; without one, all that the graph costs counts as pronunciation.
        acoustic_scale: Factor of the frames' scores in the lattice.
        beam: Word sequences this much worse than the best one, in the lattice, are left out.
        max_states: Most states; the best ones are kept.
        max_arcs: No more states are looked at after so many arcs.
    """
    making = Determinising(lattice, grammar, beam)
    expanded = making.run(max_states, max_arcs)
    made = making.made
    kept = _leading_to_ends(made, expanded, making.states)
    numbers = {state: place for place, state in enumerate(kept)}
    arcs = _sorted_arcs(made, numbers)
    factors = -np.array([1.0 / acoustic_scale, 1.0, 1.0])
    ends = np.full((len(kept), 3), -np.inf)
    for state, costs in made.ends.items():
        if state in numbers:
            ends[numbers[state]] = costs * factors
    frames = lattice.frames[[making.states[state].top for state in kept]].astype(np.int64)
    sources, targets, words = (np.array([arc[n] for arc in arcs], np.int64) for n in range(3))
    scores = np.array([arc[3] for arc in arcs]).reshape(-1, 3) * factors
    return WordLattice(frames, ends, sources, targets, words, scores, making.whole)


def _sorted_arcs(made: _Made, numbers: dict[int, int]) -> list[tuple[int, int, int, Any]]:
    found = [
        (numbers[a], numbers[b], word, costs)
        for a, b, word, costs in made.arcs
        if a in numbers and b in numbers
    ]
    return sorted(found, key=lambda arc: arc[:3])


def _leading_to_ends(made: _Made, expanded: list[int], states: list[_State]) -> list[int]:
    """Returns the states from which a path ends, such that arcs lead to later ones."""
    # Words are written between places of rising numbers.
    order = sorted(expanded, key=lambda state: int(states[state].places[0]))
    follow: dict[int, list[int]] = {state: [] for state in expanded}
    for source, target, *_ in made.arcs:
        follow[source].append(target)
    good: set[int] = set()
    for state in reversed(order):
        if state in made.ends or any(target in good for target in follow[state]):
            good.add(state)
    return [state for state in order if state in good]
