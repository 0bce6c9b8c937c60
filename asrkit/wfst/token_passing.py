"""Viterbi beam search through a decoding graph, which keeps all paths that were nearly as good.

A token is the best way to be in a state of the graph after a frame; links lead from token to token.
Frames come in chunks. After each, a sweep backwards drops links that are on no path whose cost is
within the lattice beam of the best, so that memory follows the lattice and not the time.

Source: kaldi-asr/kaldi, `src/decoder/lattice-faster-decoder.h` (pruning by beam, number of tokens
and lattice beam); there links are pruned by the same rule, in another order.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from asrkit.lm.tables import Floats, Ints, SmallFloats, SmallInts
from asrkit.wfst import token_kernels as kernels
from asrkit.wfst.graph import EPSILON, Graph, graph_of, to_openfst

FRAMES_PER_SWEEP = 25


@dataclass(frozen=True)
class Pruning:
    """What a search gives up.

    Args:
        beam: Tokens this much worse than the best one of their frame are dropped.
        max_active: Most tokens of a frame.
        lattice_beam: Links on paths this much worse than the best one are dropped.
    """

    beam: float = 16.0
    max_active: int = 10_000
    lattice_beam: float = 8.0

    def __post_init__(self) -> None:
        if self.beam <= 0 or self.max_active < 1 or self.lattice_beam < 0:
            raise ValueError(
                f"beam ({self.beam}) must be above 0, max_active ({self.max_active}) at least 1, "
                f"lattice_beam ({self.lattice_beam}) at least 0"
            )


@dataclass(frozen=True)
class SearchGraph:
    """A decoding graph as the search wants it: arcs that read nothing come first in each state.

    Args:
        graph: The arcs.
        reading: (S,) where the arcs of each state begin that read a label.
    """

    graph: Graph
    reading: Ints
    _own: threading.local = field(default_factory=threading.local, compare=False, repr=False)

    def place(self) -> SmallInts:
        """Returns an array (S,) of -1 of this thread, which it leaves as it was.

        Graphs have millions of states, so utterances do not each get one.
        """
        if not hasattr(self._own, "place"):
            self._own.place = np.full(self.graph.num_states, -1, np.int32)
        found: SmallInts = self._own.place
        return found

    @property
    def num_labels(self) -> int:
        """How many columns of scores the graph reads."""
        return int(self.graph.inputs.max(initial=0))

    def check(self, scores: npt.NDArray[np.floating[Any]], before: int) -> None:
        """Checks that scores (T, S) can be those of the labels.

        Args:
            scores: Of the next frames.
            before: How many frames came before.

        Raises:
            ValueError: If the graph reads labels beyond S, or a score is not a number.
        """
        if scores.shape[1] < self.num_labels:
            raise ValueError(
                f"the graph reads {self.num_labels} labels, but there are scores of "
                f"{scores.shape[1]}: it was made for another model"
            )
        if np.isnan(scores).any():
            frame = before + int(np.isnan(scores).any(1).argmax())
            raise ValueError(f"frame {frame} has a score that is not a number")

    def openfst(self) -> Any:
        """Returns the graph as OpenFst has it, made once in a thread."""
        if not hasattr(self._own, "openfst"):
            self._own.openfst = to_openfst(self.graph)
        return self._own.openfst


def search_graph(graph: Graph) -> SearchGraph:
    """Returns a graph with its arcs in the order of the search."""
    sources = graph.sources()
    order = np.lexsort((graph.inputs != EPSILON, sources))
    silent = np.bincount(sources[graph.inputs == EPSILON], minlength=graph.num_states)
    ordered = Graph(
        graph.start,
        graph.finals,
        graph.begins,
        graph.inputs[order],
        graph.outputs[order],
        graph.costs[order],
        graph.targets[order],
    )
    return SearchGraph(ordered, graph.begins[:-1] + silent)


@dataclass
class Links:
    """The L links of a lattice so far, and its N tokens; those of a stage lie together.

    Stage 2 f has the links within frame f, that read nothing; stage 2 f + 1 those from frame f to
    frame f + 1.

    Args:
        costs: (N,) of the best path to each token.
        states: (N,) of the graph.
        stages: Where the links of each stage begin; the last entry is L.
        sources: (L,) tokens.
        targets: (L,) tokens.
        arcs: (L,) of the graph.
        scores: (L,) negative scores of the frame; 0 of arcs that read nothing.
    """

    costs: Floats
    states: SmallInts
    stages: Ints
    sources: SmallInts
    targets: SmallInts
    arcs: SmallInts
    scores: SmallFloats


class _Growing:
    """Links that frames are added to; tokens are counted from the first one of the last frame."""

    def __init__(self, links: Links, first: int) -> None:
        self.before, self.offset = links, first
        self.states, self.costs = [links.states[first:]], [links.costs[first:]]
        self.parts: list[tuple[SmallInts, SmallInts, SmallInts, SmallFloats]] = []

    def add(
        self,
        states: SmallInts,
        costs: Floats,
        links: tuple[SmallInts, SmallInts, SmallInts, SmallFloats],
        silent: tuple[SmallInts, SmallInts, SmallInts],
    ) -> None:
        """Adds what a frame gave."""
        here, there = np.int32(self.offset), np.int32(self.offset + len(self.costs[-1]))
        self.parts.append((links[0] + here, links[1] + there, links[2], links[3]))
        none = np.zeros(len(silent[0]), np.float32)
        self.parts.append((silent[0] + there, silent[1] + there, silent[2], none))
        self.states.append(states)
        self.costs.append(costs)
        self.offset = int(there)

    def links(self) -> Links:
        """Returns all of them."""
        old = self.before
        ends = old.stages[-1] + np.cumsum([len(part[0]) for part in self.parts])
        sources, targets, arcs, scores = zip(*self.parts, strict=True)
        return Links(
            np.concatenate([old.costs, *self.costs[1:]]),
            np.concatenate([old.states, *self.states[1:]]),
            np.concatenate([old.stages, ends]),
            np.concatenate([old.sources, *sources]),
            np.concatenate([old.targets, *targets]),
            np.concatenate([old.arcs, *arcs]),
            np.concatenate([old.scores, *scores]),
        )


@dataclass
class TokenPassing:
    """A search through one utterance, frame by frame.

    Args:
        graph: What is walked.
        pruning: What is given up.
    """

    graph: SearchGraph
    pruning: Pruning
    frames: int = field(init=False, default=0)
    links: Links = field(init=False)
    first: int = field(init=False, default=0)  # token of the newest frame

    def __post_init__(self) -> None:
        graph = self.graph.graph
        self._arcs = graph.begins, self.graph.reading, graph.inputs, graph.costs, graph.targets
        begun = kernels.begin(graph.start, self._arcs, self.graph.place())
        states, costs, (sources, targets, arcs) = begun
        stages, none = np.array([0, len(arcs)], np.int64), np.zeros(len(arcs), np.float32)
        self.links = Links(costs, states, stages, sources, targets, arcs, none)

    def step(self, scores: npt.NDArray[np.floating[Any]]) -> None:
        """Takes more frames.

        Args:
            scores: (T, S) log-probabilities, scaled, of the labels 1 to S.

        Raises:
            ValueError: If the graph reads labels beyond S, or a score is not a number.
        """
        self.graph.check(scores, self.frames)
        scores = np.ascontiguousarray(scores, np.float32)
        for begin in range(0, len(scores), FRAMES_PER_SWEEP):
            self._advance(scores[begin : begin + FRAMES_PER_SWEEP])

    def _advance(self, scores: SmallFloats) -> None:
        limits = self.pruning.beam, self.pruning.max_active, self.pruning.lattice_beam
        made, place = _Growing(self.links, self.first), self.graph.place()
        for row in scores:
            graph = self._arcs, place
            made.add(*kernels.frame(row, made.states[-1], made.costs[-1], *graph, *limits))
        self.frames += len(scores)
        joined = made.links()
        first = len(joined.costs) - len(made.costs[-1])
        self.links, self.first = self._swept(joined, first, np.zeros(len(made.costs[-1])))

    def _swept(self, links: Links, first: int, ends: Floats) -> tuple[Links, int]:
        """Drops links that lead nowhere good; ends are extra costs of the last frame's tokens."""
        costs = self.graph.graph.costs
        extra, kept = kernels.sweep(
            links.costs,
            links.stages,
            links.sources,
            links.targets,
            links.arcs,
            links.scores,
            costs,
            first,
            ends,
            self.pruning.lattice_beam,
        )
        alive = np.isfinite(extra)
        alive[first:] |= True
        numbers = np.cumsum(alive, dtype=np.int32) - np.int32(1)
        counts = np.concatenate([[0], np.cumsum(kept)])
        swept = Links(
            links.costs[alive],
            links.states[alive],
            counts[links.stages],
            numbers[links.sources[kept]],
            numbers[links.targets[kept]],
            links.arcs[kept],
            links.scores[kept],
        )
        return swept, int(alive[:first].sum())

    def end(self) -> Lattice | None:
        """Returns the lattice of all that was heard; None if no path reached an end.

        Nothing more may be taken after this.
        """
        ends = self.graph.graph.finals[self.links.states[self.first :]].astype(np.float64)
        totals = self.links.costs[self.first :] + ends
        if not len(totals) or not np.isfinite(totals.min()):
            return None
        links, first = self._swept(self.links, self.first, totals - totals.min())
        return _lattice(self.graph.graph, links, first)


@dataclass(frozen=True)
class Lattice:
    """Paths through a decoding graph: N places and L arcs between them.

    Paths begin in place 0; arcs lead to places of higher numbers, and are sorted by source.

    Args:
        frames: (N,) how many frames were heard before each place.
        finals: (N,) graph costs of ending; infinite where no path ends.
        sources: (L,) places.
        targets: (L,) places.
        inputs: (L,) labels read, 0 for none.
        words: (L,) labels written, 0 for none.
        graph_costs: (L,) of the graph's arcs.
        acoustic_costs: (L,) negative scores.
    """

    frames: Ints
    finals: Floats
    sources: SmallInts
    targets: SmallInts
    inputs: SmallInts
    words: SmallInts
    graph_costs: SmallFloats
    acoustic_costs: SmallFloats

    def as_acceptor(self, graph_scale: float = 1.0) -> Graph:
        """Returns an acceptor of words with the paths' costs, the graph's scaled."""
        costs = graph_scale * self.graph_costs.astype(np.float64) + self.acoustic_costs
        finals = graph_scale * self.finals
        return graph_of(0, finals, self.sources, self.words, self.words, costs, self.targets)


def _lattice(graph: Graph, links: Links, first: int) -> Lattice:
    frames, depths = kernels.places(len(links.costs), links.stages, links.sources, links.targets)
    finals = np.full(len(links.costs), np.inf)
    finals[first:] = graph.finals[links.states[first:]]
    order = np.lexsort((depths, frames))
    numbers = np.empty(len(order), np.int32)
    numbers[order] = np.arange(len(order), dtype=np.int32)
    sources = numbers[links.sources]
    sorting = np.argsort(sources, kind="stable")
    arcs = links.arcs[sorting]
    return Lattice(
        frames[order],
        finals[order],
        sources[sorting],
        numbers[links.targets][sorting],
        graph.inputs[arcs],
        graph.outputs[arcs],
        graph.costs[arcs],
        links.scores[sorting],
    )
