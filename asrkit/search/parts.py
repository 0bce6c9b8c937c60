"""What a loaded search works with, and how long each scorer took."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Protocol

import torch

from asrkit.scorers.interfaces import (
    EncodedFrames,
    FrameScores,
    Hypothesis,
    Kind,
    LabelScorer,
    SymbolScorer,
)
from asrkit.scorers.sources import Source
from asrkit.search.word_strings import WordStrings
from asrkit.text.vocabulary import Vocabulary
from asrkit.wfst.graph_file import DecodingGraph
from asrkit.wfst.lattice_file import NamedLattice


class FindsLists(Protocol):
    """A search that is part of another one, loaded."""

    def run(self, encoded: EncodedFrames, utterances: Sequence[str] = ()) -> list[list[Hypothesis]]:
        """Returns an n-best list per utterance, best first."""
        ...

    def take_lattices(self) -> list[NamedLattice | None]:
        """Returns the lattices of what was searched since the last call."""
        ...


class SearchParts:
    """Sources of scores by name, with their weights and a stopwatch; and searches inside a search.

    What is asked for was required when the search was loaded, so that it is there.

    Args:
        sources: By the name of their entry.
        weights: Factors of their scores, by the same names.
        searches: Loaded searches whose results are read, by name.
        vocabulary: The labels, for searches that tell words apart.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        weights: Mapping[str, float],
        searches: Mapping[str, FindsLists] = MappingProxyType({}),
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.sources, self.weights, self.searches = dict(sources), dict(weights), searches
        self.vocabulary = vocabulary
        self.seconds: dict[str, float] = defaultdict(float)
        """The time that each took so far."""
        self.lattices: list[NamedLattice | None] = []
        """Those of the utterances that were searched, of searches that give some."""
        self.utterances: Sequence[str] = ()
        """Names of the utterances that are searched; none where they have no names."""

    def label_scorers(
        self, encoded: EncodedFrames, names: Iterable[str] | None = None
    ) -> dict[str, LabelScorer]:
        """Returns scorers of next labels by name: those named, or those of all sources."""
        chosen = self.sources if names is None else names
        return {name: self._labels(name, encoded) for name in chosen}

    def frame_scores(self, name: str, encoded: EncodedFrames, kind: Kind = "frames") -> FrameScores:
        """Returns the scores of frames, or those of their tied states."""
        source = self.sources[name]
        scores = source.states if kind == "states" else source.frames
        assert scores is not None
        with self.timed(name):
            return scores(encoded)

    def symbol_scorer(self, name: str, encoded: EncodedFrames) -> SymbolScorer:
        """Returns the scorer of frames' symbols after labels."""
        scorer = self.sources[name].symbols
        assert scorer is not None
        with self.timed(name):
            return scorer(encoded)

    def graph(self, name: str) -> DecodingGraph:
        """Returns a decoding graph."""
        graph = self.sources[name].graph
        assert graph is not None
        return graph

    def lists(self, name: str) -> list[list[Hypothesis]]:
        """Returns what was found before in each utterance."""
        lists = self.sources[name].lists
        assert lists is not None
        with self.timed(name):
            return [lists(utterance) for utterance in self.utterances]

    def word_strings(self, device: torch.device) -> WordStrings:
        """Returns what tells the words of hypotheses apart, which are on a device."""
        if self.vocabulary is None:
            raise ValueError("recombination by words needs the vocabulary")
        return WordStrings(self.vocabulary, device)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Adds the time of a block to a scorer's."""
        start = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - start

    def _labels(self, name: str, encoded: EncodedFrames) -> LabelScorer:
        scorer = self.sources[name].labels
        assert scorer is not None
        return scorer(encoded)
