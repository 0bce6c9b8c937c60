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
