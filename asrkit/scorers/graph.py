"""A decoding graph as a scorer: its language model, and how words are said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asrkit.scorers.entries import Scorer, scorers
from asrkit.scorers.loader import Loader
from asrkit.scorers.sources import Source


@scorers.register("graph")
@dataclass(frozen=True)
class GraphScorer(Scorer):
    """A decoding graph of words, made by `asrkit graph`, for the search of that name.

    Args:
        weight: Factor of its log-probabilities: of the language model and of pronunciations.
        graph: The file.
    """

    weight: float
    graph: Path

    def find(self, name: str, loader: Loader) -> Source:
        """Returns the graph."""
        return Source(f"the graph {self.graph}", graph=loader.graph(self.graph))


@scorers.register("graph_lm")
@dataclass(frozen=True)
class GraphLmScorer(Scorer):
    """The language model within the graph of the same search, with a weight of its own.

    Args:
        weight: Factor of its log-probabilities; that of the graph is then that of pronunciations.
    """

    weight: float

    def find(self, name: str, loader: Loader) -> Source:
        """Returns nothing to ask: the graph has the scores."""
        return Source("the language model within a graph")
