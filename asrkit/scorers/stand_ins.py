"""What stands in the place of models that have not been read, where a search is loaded to look at.

A search is loaded to learn which files it needs, and whether its scorers fit, before there are
weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from asrkit.scorers.interfaces import Hypothesis
from asrkit.wfst.graph import graph_of_arcs
from asrkit.wfst.graph_file import DecodingGraph
from asrkit.wfst.token_passing import search_graph


class AnyHead:
    """A head of which nothing is known: it may score whatever is needed of it."""

    def __init__(self) -> None:
        self.eos = 0
        self.label_scorer = self.frame_scores = self.symbol_scorer = _unread
        self.state_scores = _unread
        self.frames_without_eos = self.label_attention = self.internal_lm = _unread


class AnyLanguageModel:
    """A language model of which nothing is known: it scores labels."""

    def __init__(self) -> None:
        self.label_scorer = _unread

    def stands_beside(self, head: object) -> bool:
        """Returns True: it may be the internal one of this head."""
        return True


NO_GRAPH = DecodingGraph(search_graph(graph_of_arcs(0, {}, [])), [], [], [])
"""A graph without words."""


def no_sentences(sequences: Sequence[list[int]]) -> list[float]:
    """Returns scores of no hypothesis."""
    raise AssertionError("a model that has not been read was asked for scores")


def no_lists(utterance: str) -> list[Hypothesis]:
    """Returns no hypothesis."""
    return []


def _unread(encoded: object) -> NoReturn:
    raise AssertionError("a model that has not been read was asked for scores")
