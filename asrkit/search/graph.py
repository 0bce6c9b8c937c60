"""Search through a decoding graph of words, which keeps a lattice of what was nearly as good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

import torch

from asrkit.compiled import can_compile
from asrkit.errors import UserError
from asrkit.lm.tables import SmallFloats
from asrkit.scorers.entries import Scorer
from asrkit.scorers.graph import GraphLmScorer
from asrkit.scorers.interfaces import EncodedFrames, Hypothesis, Kind
from asrkit.scorers.sources import Source
from asrkit.search.frame_search import FrameSearch
from asrkit.search.lattices import hypotheses_of, named
from asrkit.search.parts import SearchParts
from asrkit.search.search import searches
from asrkit.wfst.best_path import BestPath
from asrkit.wfst.determinised import MAX_ARCS, PARTS, determinised
from asrkit.wfst.grammar_scores import GrammarScores
from asrkit.wfst.graph_file import DecodingGraph
from asrkit.wfst.lattice_file import NamedLattice
from asrkit.wfst.restricted import Restriction
from asrkit.wfst.token_passing import Lattice, Pruning, TokenPassing, search_graph
from asrkit.wfst.word_lattice import n_best

UNPRUNED = Pruning(beam=float("inf"), max_active=2**31 - 1, lattice_beam=1e-3)
"""Of graphs that hold one label sequence, of which the best path is all that is wanted."""


class Walk(Protocol):
    """A search through one utterance, frame by frame."""

    def step(self, scores: SmallFloats) -> None:
        """Takes more frames (T, S)."""
        ...

    def end(self) -> Lattice | None:
        """Returns the lattice of all that was heard; None if no path reached an end."""
        ...


@dataclass
class Walks:
    """Where the search is in each utterance of a batch.

    Args:
        parts: What it works with.
        graph: The graph, words and all.
        walks: One of each utterance.
        grammar: What the graph's language model says of words, if it is known.
    """

    parts: SearchParts
    graph: DecodingGraph
    walks: Sequence[Walk]
    grammar: GrammarScores | None = field(init=False)

    def __post_init__(self) -> None:
        self.grammar = self.graph.grammar_scores()


@searches.register("graph")
class GraphSearch(FrameSearch[Walks]):
    """Finds the best paths through a decoding graph: words of a lexicon, by an n-gram model.

    A hypothesis scores weight x log-probability of its frames, plus weight x log-probability of its
    path in the graph. With a scorer of type `graph_lm`, the language model within the graph has a
    weight and scores of its own, and the graph's are those of pronunciations: the search then walks
    with the former weight for both, and its lattice is ranked with each part's own. Other scorers
    can follow in a second pass. Without numba there is the best path only: `nbest` has to be 1.

    Args:
        scorers: Of the frames, by the name `frames`, of a graph, by the name `graph`, and perhaps
            of its language model, by any name.
        frames: Which of the scorers gives the frames' symbols.
        graph: Which of the scorers is the graph.
        beam: Paths whose score is this much lower than that of the best one are dropped.
        max_active: Most states of the graph in a frame.
        lattice_beam: Paths whose score is at most this much lower are kept for the n-best list.
        nbest: Most hypotheses of an utterance.
        lattices: Whether decoding writes lattices of words, with their scores apart, by which
            weights are tuned without decoding again.
        lattice_arcs: About how many words a lattice has at most; the best are found first.

    Raises:
        ValueError: If there are other scorers, or a limit is impossible.

    Source: Mohri et al. 2008; Povey et al. 2012, "Generating exact lattices in the WFST framework".
    """

    def __init__(
        self,
        scorers: Mapping[str, float | Scorer],
        frames: str = "ctc",
        graph: str = "graph",
        beam: float = 16.0,
        max_active: int = 10_000,
        lattice_beam: float = 8.0,
        nbest: int = 10,
        lattices: bool = False,
        lattice_arcs: int = MAX_ARCS,
    ) -> None:
        super().__init__(scorers, frames)
        own = [name for name, entry in self.entries.items() if isinstance(entry, GraphLmScorer)]
        if len(own) > 1:
            raise ValueError(f"scorers {', '.join(own)}: a graph has one language model")
        self.lm = own[0] if own else None
        if set(self.weights) - {self.lm} != {frames, graph}:
            raise ValueError(
                f"scorers ({', '.join(self.weights)}) must be {frames!r}, which scores frames, and "
                f"{graph!r}, of type graph; put others into a two_pass search around this one"
            )
        if min(self.weights.values()) <= 0:
            raise ValueError(f"weights must be above 0, got {self.weights}")
        if nbest < 1 or lattice_arcs < 1:
            raise ValueError(f"nbest ({nbest}), lattice_arcs ({lattice_arcs}) must be at least 1")
        self.graph, self.nbest, self.lattices = graph, nbest, lattices
        self.lattice_arcs = lattice_arcs
        self.pruning = Pruning(beam, max_active, lattice_beam)

    def kind_of(self, name: str) -> Kind:
        """Returns which kind of scores an entry is used for."""
        if name == self.frames:
            return self.entries[name].frame_kind
        return "graph" if name == self.graph else super().kind_of(name)

    @property
    def gives_lattices(self) -> bool:
        """Whether it gives a lattice of every utterance."""
        return self.lattices

    def begin(self, parts: SearchParts, encoded: EncodedFrames) -> Walks:
        """Returns the state before the first frame."""
        graph = parts.graph(self.graph)
        if self.lm is not None and graph.grammar is None:
            raise UserError(
                f"the graph does not tell the scores of its language model, so that {self.lm!r} "
                "can't weight them: make it again with `asrkit graph`"
            )
        # Within the search the graph's costs are as they are; all else is in proportion.
        scale, limits = self._scale(parts), self.pruning
        pruning = Pruning(limits.beam / scale, limits.max_active, limits.lattice_beam / scale)
        kind: type[TokenPassing | BestPath] = TokenPassing if can_compile() else BestPath
        if kind is BestPath and (self.nbest > 1 or self.lattices):
            asked = "lattices" if self.lattices else f"the {self.nbest} best hypotheses"
            raise UserError(
                f"a graph search finds {asked} with numba only, which is not installed: set "
                "nbest: 1 and lattices: false, or pip install 'asrkit[hybrid]'"
            )
        walks = [kind(graph.graph, pruning) for _ in range(len(encoded.lengths))]
        return Walks(parts, graph, walks)

    def step(self, state: Walks, encoded: EncodedFrames) -> None:
        """Searches the next frames."""
        rows = self._rows(state.parts, state.graph, encoded)
        with state.parts.timed(self.graph):
            _in_threads(state.walks, rows)

    def _rows(
        self, parts: SearchParts, graph: DecodingGraph, encoded: EncodedFrames
    ) -> list[SmallFloats]:
        """Returns the scores (T, S) of each utterance's frames, in proportion to the graph's."""
        kind, symbols = self.kind_of(self.frames), len(graph.symbols)
        frames = parts.frame_scores(self.frames, encoded, kind)
        scored = frames.log_probs.shape[2]
        # A network may have more outputs than its tree has states.
        if scored < symbols or (scored > symbols and not (kind == "states" and graph.tree)):
            raise UserError(
                f"the graph reads {symbols} symbols, but scorer {self.frames!r} scores "
                f"{scored}: it was made for another model; make it again"
            )
        with parts.timed(self.graph):
            scale = parts.weights[self.frames] / self._scale(parts)
            weighted = scale * frames.log_probs[..., :symbols].float()  # (B, T, K)
            return [
                row[:length].cpu().numpy()
                for row, length in zip(weighted, frames.lengths.tolist(), strict=True)
            ]

    def end(self, state: Walks) -> list[list[Hypothesis]]:
        """Returns an n-best list per utterance, best first; empty where no path was left."""
        with state.parts.timed(self.graph):
            return [self._all_of(state, walk.end(), keep=self.lattices) for walk in state.walks]

    @property
    def can_be_forced(self) -> bool:
        """Whether it can say what it thinks of given sequences."""
        return True

    def held_to(
        self,
        parts: SearchParts,
        encoded: EncodedFrames,
        references: Sequence[list[int]],
        num_labels: int,
    ) -> list[Hypothesis | None]:
        """Returns the best path that writes each sequence; None where the graph has none."""
        graph = parts.graph(self.graph)
        rows, restriction = self._rows(parts, graph, encoded), Restriction(graph)
        state = Walks(parts, graph, [])
        result: list[Hypothesis | None] = []
        for row, labels in zip(rows, references, strict=True):
            part, lattice = restriction.to(labels), None
            if part is not None:
                walk = TokenPassing(search_graph(part), UNPRUNED)
                walk.step(row)
                lattice = walk.end()
            result.extend(self._all_of(state, lattice)[:1] or [None])
        return result

    def _require(self, name: str, source: Source) -> None:
        if name != self.lm:  # of which the graph knows the scores
            super()._require(name, source)

    def _scale(self, parts: SearchParts) -> float:
        """Returns the factor of the graph's costs while it is walked."""
        return parts.weights[self.graph if self.lm is None else self.lm]

    def _apart(self, state: Walks, lattice: Lattice) -> NamedLattice:
        """Returns the lattice of words, its scores apart."""
        scale = self._scale(state.parts)
        acoustic, beam = state.parts.weights[self.frames] / scale, self.pruning.lattice_beam / scale
        names = self.frames, self.lm or self.graph, self.graph
        most = self.lattice_arcs
        made = determinised(lattice, state.grammar, acoustic, beam, max_arcs=most)
        scorers = dict(zip(PARTS, names, strict=True))
        return named(made, state.graph, scorers, int(lattice.frames.max()))

    def _all_of(
        self, state: Walks, lattice: Lattice | None, keep: bool = False
    ) -> list[Hypothesis]:
        """Returns the hypotheses of a lattice, which is kept apart, if wanted."""
        apart = None
        if lattice is not None and (keep or self.lm is not None):
            apart = self._apart(state, lattice)
        if keep:
            state.parts.lattices.append(apart)
        if self.lm is None or apart is None:
            return self._hypotheses(state, lattice)
        return hypotheses_of(apart, state.parts.weights, self.nbest)

    def _hypotheses(self, state: Walks, lattice: Lattice | None) -> list[Hypothesis]:
        if lattice is None:
            return []
        weights, spellings = state.parts.weights, state.graph.spellings
        found = []
        for path in n_best(lattice, self.nbest):
            labels = chain.from_iterable(spellings[word - 1] for word in path.words)
            score = -weights[self.graph] * (path.graph_cost + path.acoustic_cost)
            heard = -path.acoustic_cost * weights[self.graph] / weights[self.frames]
            scores = {self.frames: heard, self.graph: -path.graph_cost}
            found.append(Hypothesis([*labels], score, scores))
        return found


def _in_threads(walks: Sequence[Walk], rows: list[SmallFloats]) -> None:
    """Takes the frames of all utterances, several at a time: compiled loops need no lock."""
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for _ in pool.map(lambda walk, row: walk.step(row), walks, rows):
            pass  # raises what was raised there
