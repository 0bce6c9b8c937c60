"""Whether what a search scores with has such scores, told before any model is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from asrkit.errors import UserError
from asrkit.lm.interpolation import InterpolationWeights
from asrkit.scorers.interfaces import Hypothesis, SentenceScores
from asrkit.scorers.loader import FoundHead, NgramUnits
from asrkit.scorers.stand_ins import NO_GRAPH, AnyHead, AnyLanguageModel, no_lists, no_sentences
from asrkit.search.search import Search
from asrkit.text.outputs import Outputs
from asrkit.text.vocabulary import Vocabulary
from asrkit.wfst.graph_file import DecodingGraph


@dataclass
class UnreadModels:
    """Stands where a search loads its models.

    Args:
        vocabulary: The labels of the search.
        heads: Those of the decoded model; None where that is not known.
    """

    vocabulary: Vocabulary
    heads: Mapping[str, object] | None = None

    def head(self, name: str, run: Path | None, checkpoint: str) -> FoundHead:
        """Returns a head of the decoded model, or what may be any.

        Raises:
            UserError: If the model has no such head.
        """
        if run is not None or self.heads is None:
            return FoundHead(AnyHead(), name)
        if name not in self.heads:
            there = ", ".join(self.heads) or "none"
            raise UserError(f"the model has no head {name!r}; it has {there}")
        return FoundHead(self.heads[name], f"the model's {type(self.heads[name]).__name__}")

    def language_model(self, run: Path, checkpoint: str) -> AnyLanguageModel:
        """Returns what scores labels."""
        return AnyLanguageModel()

    def ngram(self, path: Path, units: NgramUnits = "labels") -> AnyLanguageModel:
        """Returns what scores labels."""
        return AnyLanguageModel()

    def interpolation(
        self, arpa: Path, run: Path, checkpoint: str, weights: InterpolationWeights
    ) -> SentenceScores:
        """Returns what scores sentences."""
        return no_sentences

    def lists(self, search: str, run: Path | None, most: int) -> Callable[[str], list[Hypothesis]]:
        """Returns lists without hypotheses."""
        return no_lists

    def graph(self, path: Path) -> DecodingGraph:
        """Returns a graph without words."""
        return NO_GRAPH

    def prior(
        self, path: Path, run: Path | None, checkpoint: str, outputs: Outputs | None = None
    ) -> Tensor:
        """Returns numbers in the place of log-priors."""
        return torch.zeros(len(self.vocabulary) + 1 if outputs is None else len(outputs))


def misused_scorers(search: Search, models: UnreadModels) -> Iterator[str]:
    """Yields what is wrong with the scorers of a search, those of searches inside it included."""
    for name in search.entries:
        try:
            search.source(name, models)
        except UserError as error:
            yield str(error)
    for inner in search.inner.values():
        yield from misused_scorers(inner, models)
