"""All ways to say a transcript: variants of words, silence or none between them, as states.

First there is a graph of phones, each with its neighbours: a phone at a word's edge stands there
once for every neighbour it may have. That graph depends on the lexicon only. With a topology and a
tree it becomes a graph of states, which is searched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from asrkit.errors import UserError
from asrkit.hmm.lexicon import Lexicon, Pronunciation
from asrkit.hmm.topology import EDGE, NOISE, SILENCE, Costs, HmmTopology, Phones
from asrkit.hmm.tree import Tree
from asrkit.hmm.viterbi import Floats, Ints, StateGraph

NO_WORD = -1
"""The word that silence belongs to."""
Whole = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
_Arc = tuple[int, int, float]
"""From, to, and -log p."""


@dataclass(frozen=True)
class PhoneGraph:
    """The N phones of an utterance, numbered such that arcs lead forwards.

    Args:
        contexts: (N, 3) left neighbour, phone, right neighbour.
        words: (N,) place of the word in the transcript; -1 for silence.
        leaves_word: (N,) whether it is the last phone of a word, or silence.
        arcs: (A, 2) from where to where.
        costs: (A,) -log p.
        starts: (N,) costs of beginning there; infinity where no path begins.
        ends: (N,) costs of ending there; infinity where no path ends.
    """

    contexts: Ints
    words: Ints
    leaves_word: Ints
    arcs: Ints
    costs: Floats
    starts: Floats
    ends: Floats

    def __len__(self) -> int:
        """N."""
        return len(self.words)


@dataclass(frozen=True)
class Transitions:
    """Costs of the S tied states, -log p.

    Args:
        loops: (S,) of staying.
        forwards: (S,) of going on.
    """

    loops: Floats
    forwards: Floats


def state_costs(topology: HmmTopology, tree: Tree) -> list[Costs]:
    """Returns the costs that a topology gives each tied state (S,) of a tree."""
    return [topology.costs_of(tree.phones.names[phone]) for phone in tree.owners()]


def transitions_of(topology: HmmTopology, tree: Tree) -> Transitions:
    """Returns what staying in tied states and going on costs."""
    costs = state_costs(topology, tree)
    loops, forwards = [c.loop for c in costs], [c.forward for c in costs]
    return Transitions(np.array(loops, np.float32), np.array(forwards, np.float32))


@dataclass(frozen=True)
class UtteranceGraph:
    """The graph of an utterance's states, and what they are.

    Args:
        graph: The S states and arcs.
        nodes: (S,) the phone of the phone graph that each belongs to.
        positions: (S,) which of the phone's states it is.
    """

    graph: StateGraph
    nodes: Ints
    positions: Ints


class GraphCompiler:
    """Makes the phone graphs of transcripts.

    Args:
        lexicon: How words are pronounced.
        phones: The phones of the model.
        silence: Probability of silence between words, and at both ends.
        unknown_as_noise: Whether words without pronunciation are noise, rather than an error.

    Raises:
        UserError: If the lexicon has a phone that the model lacks.
        ValueError: If the probability is not between 0 and 1.
    """

    def __init__(
        self,
        lexicon: Lexicon,
        phones: Phones,
        silence: float = 0.5,
        unknown_as_noise: bool = False,
    ) -> None:
        if not 0 < silence < 1:
            raise ValueError(f"the probability of silence must be between 0 and 1, got {silence}")
        lacking = [phone for phone in lexicon.phones if phone not in phones.ids]
        if lacking:
            raise UserError(
                f"{lexicon.source} has phones that the model lacks: {', '.join(lacking[:10])}; it "
                f"has {', '.join(phones.speech)}: use the lexicon that the model was trained with"
            )
        self.lexicon, self.phones = lexicon, phones
        self.pause, self.no_pause = -math.log(silence), -math.log(1 - silence)
        self.unknown = (Pronunciation((NOISE,)),) if unknown_as_noise else None

    def compile(self, words: Sequence[str]) -> PhoneGraph:
        """Returns the graph of a transcript.

        Raises:
            UserError: If a word has no pronunciation.
        """
        return _with_neighbours(self._phones(words), self.phones)

    def _phones(self, words: Sequence[str]) -> _Sequence:
        found = _Sequence()
        silence = self.phones.ids[SILENCE]
        frontier = found.pause([(_BEGIN, 0.0)], silence, self.pause, self.no_pause)
        for place, word in enumerate(words):
            ends = []
            for variant in self.variants(word):
                ids = [self.phones.ids[phone] for phone in variant.phones]
                ends.append((found.chain(frontier, ids, place, variant.cost), 0.0))
            frontier = found.pause(ends, silence, self.pause, self.no_pause)
        found.ends = dict(frontier)
        found.ends.pop(_BEGIN, None)  # something must be there, if only silence
        return found

    def variants(self, word: str) -> tuple[Pronunciation, ...]:
        """Returns the pronunciations of a word.

        Raises:
            UserError: If it has none.
        """
        known = self.lexicon.get(word, self.unknown)
        if known is None:
            raise UserError(
                f"there is no pronunciation of {word!r} in {self.lexicon.source}; add one, or "
                "train a G2P model and let it pronounce what is missing"
            )
        return known


_BEGIN = -1
"""Where paths come from that begin with a phone."""


class _Sequence:
    """Phones without neighbours and the arcs between them, while they are put together."""

    def __init__(self) -> None:
        self.phones: list[int] = []
        self.words: list[int] = []
        self.leaves_word: list[bool] = []
        self.arcs: list[_Arc] = []
        self.ends: dict[int, float] = {}

    def _add(self, phone: int, word: int, leaves_word: bool) -> int:
        self.phones.append(phone)
        self.words.append(word)
        self.leaves_word.append(leaves_word)
        return len(self.phones) - 1

    def chain(
        self, frontier: list[tuple[int, float]], phones: list[int], word: int, cost: float
    ) -> int:
        """Adds a pronunciation after what may be before it; returns its last phone."""
        for number, phone in enumerate(phones):
            node = self._add(phone, word, number == len(phones) - 1)
            self.arcs += [(before, node, paid + cost) for before, paid in frontier]
            frontier, cost = [(node, 0.0)], 0.0
        return frontier[0][0]

    def pause(
        self, ends: list[tuple[int, float]], silence: int, pause: float, no_pause: float
    ) -> list[tuple[int, float]]:
        """Adds silence that may be left out; returns what may be before the next word."""
        node = self._add(silence, NO_WORD, True)
        self.arcs += [(before, node, paid + pause) for before, paid in ends]
        return [(node, 0.0), *((before, paid + no_pause) for before, paid in ends)]


def _with_neighbours(found: _Sequence, phones: Phones) -> PhoneGraph:
    """Returns the graph in which every phone is there once for each pair of neighbours."""
    names = [*found.phones, EDGE]  # that of _BEGIN is the last
    lefts: list[set[int]] = [set() for _ in found.phones]
    rights: list[set[int]] = [{EDGE} if i in found.ends else set() for i in range(len(lefts))]
    for source, target, _ in found.arcs:
        lefts[target].add(names[source])
        if source != _BEGIN:
            rights[source].add(names[target])
    places: list[dict[tuple[int, int], int]] = []
    contexts: list[tuple[int, int, int]] = []
    origins: list[int] = []
    for node, phone in enumerate(found.phones):
        alone = phone in phones.independent
        pairs = [(EDGE, EDGE)] if alone else [(a, b) for a in lefts[node] for b in rights[node]]
        places.append({pair: len(contexts) + i for i, pair in enumerate(sorted(pairs))})
        contexts += [(left, phone, right) for left, right in sorted(pairs)]
        origins += [node] * len(pairs)
    arcs, starts, ends = _arcs(found, names, places, len(contexts))
    return PhoneGraph(
        np.array(contexts, np.int32),
        np.array(found.words, np.int32)[origins],
        np.array(found.leaves_word, np.int32)[origins],
        np.array([arc[:2] for arc in arcs], np.int32).reshape(-1, 2),
        np.array([arc[2] for arc in arcs], np.float32),
        starts,
        ends,
    )


def _arcs(
    found: _Sequence, names: list[int], places: list[dict[tuple[int, int], int]], size: int
) -> tuple[list[_Arc], Floats, Floats]:
    """Returns the arcs between phones whose neighbours agree, costs of starts and of ends (N,)."""
    arcs, starts, ends = [], np.full(size, np.inf, np.float32), np.full(size, np.inf, np.float32)
    for source, target, cost in found.arcs:
        entered = [
            place
            for (left, _), place in places[target].items()
            if left == names[source] or _is_alone(places[target])
        ]
        if source == _BEGIN:
            starts[entered] = cost
            continue
        left_from = [
            place
            for (_, right), place in places[source].items()
            if right == names[target] or _is_alone(places[source])
        ]
        arcs += [(a, b, cost) for a in left_from for b in entered]
    for node, cost in found.ends.items():
        for (_, right), place in places[node].items():
            if right == EDGE:
                ends[place] = cost
    return arcs, starts, ends


def _is_alone(places: dict[tuple[int, int], int]) -> bool:
    """Returns whether a phone is context-independent."""
    return list(places) == [(EDGE, EDGE)]


def state_graph(
    phones: PhoneGraph, topology: HmmTopology, tree: Tree, transitions: Transitions
) -> UtteranceGraph:
    """Returns the states of a graph of phones.

    Args:
        phones: The graph.
        topology: Numbers of states, and the costs of skips and exits.
        tree: Which tied state each is.
        transitions: The costs of loops and forward arcs by tied state.
    """
    names = tree.phones.names
    of_phone = np.array([0, *(topology.states_of(name) for name in names[1:])])
    sizes = of_phone[phones.contexts[:, 1]]
    nodes = np.repeat(np.arange(len(phones)), sizes)
    first = np.cumsum(sizes) - sizes
    positions = np.arange(len(nodes)) - first[nodes]
    left, phone, right = phones.contexts[nodes].T.astype(np.int64)
    tied = tree.look_up(left, phone, right, positions)
    costs = [topology.costs_of(name) for name in names]
    leaving = np.array([[c.forward, c.skip] for c in costs])[phone]  # (S, 2)
    leaving[:, 0] = transitions.forwards[tied]
    exits = np.where(
        phones.leaves_word, np.array([c.exit for c in costs])[phones.contexts[:, 1]], 0.0
    )
    arcs = _state_arcs(phones, sizes, first, exits)
    paid = arcs.costs + leaving[arcs.sources, arcs.skips]
    order = arcs.targets.argsort(kind="stable")
    order = order[np.isfinite(paid[order])]
    entering = np.bincount(arcs.targets[order], minlength=len(nodes))
    starts, ends = (np.full(len(nodes), np.inf, np.float32) for _ in range(2))
    starts[first] = phones.starts
    for skips in (0, 1):  # the last state is left, or is skipped
        last = (first + sizes - 1 - skips)[sizes > skips]
        ends[last] = (phones.ends + exits)[sizes > skips] + leaving[last, skips]
    graph = StateGraph(
        tied.astype(np.int32),
        transitions.loops[tied],
        starts,
        ends,
        np.concatenate([[0], np.cumsum(entering)]).astype(np.int32),
        arcs.sources[order].astype(np.int32),
        paid[order].astype(np.float32),
    )
    return UtteranceGraph(graph, nodes.astype(np.int32), positions.astype(np.int32))


class _StateArcs(NamedTuple):
    """Arcs between states: from, to, 1 where a state is skipped, and costs of words and exits."""

    sources: Whole
    targets: Whole
    skips: Whole
    costs: Doubles


def _state_arcs(phones: PhoneGraph, sizes: Whole, first: Whole, exits: Doubles) -> _StateArcs:
    """Returns the arcs inside phones and those between them."""
    before, after = phones.arcs.T.astype(np.int64)
    paid = phones.costs + exits[before]
    parts = []
    for skips in (0, 1):
        inside = np.maximum(sizes - 1 - skips, 0)  # states that have one to go to in their phone
        source = np.repeat(first - np.cumsum(inside) + inside, inside) + np.arange(inside.sum())
        last = first + sizes - 1 - skips
        out = sizes[before] > skips
        sources = np.concatenate([source, last[before[out]]])
        targets = np.concatenate([source + 1 + skips, first[after[out]]])
        cost = np.concatenate([np.zeros(len(source)), paid[out]])
        parts.append(_StateArcs(sources, targets, np.full(len(sources), skips), cost))
    return _StateArcs(*(np.concatenate(column) for column in zip(*parts, strict=True)))
