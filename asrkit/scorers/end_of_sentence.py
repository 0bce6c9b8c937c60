"""Scores of labels without a score of the end of the sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from asrkit.scorers.interfaces import LabelScorer, State
from asrkit.scorers.sources import Source


def without_eos(source: Source, eos: int) -> Source:
    """Returns a source whose label scorer gives 0 for eos; frames have none, and stay as they are.

    Args:
        source: The source.
        eos: V, the id of end of sentence.
    """
    given = source.labels
    if given is None:
        return source

    def labels(encoded: Any) -> LabelScorer:
        return SilentAtEos(given(encoded), eos)

    return replace(source, labels=labels)


class SilentAtEos:
    """A label scorer that gives 0 for the end of sentence.

    Args:
        inner: Scores labels.
        eos: V, the id of end of sentence.
    """

    def __init__(self, inner: LabelScorer, eos: int) -> None:
        self.inner, self.eos = inner, eos
        self.partial = inner.partial

    def initial_state(self) -> State:
        """Returns the states of the B empty hypotheses."""
        return self.inner.initial_state()

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        """Returns log-probabilities (H, V + 1), or (H, C) of candidates, 0 for eos."""
        scores = self.inner.score(state, candidates)
        if candidates is not None:
            return scores.masked_fill(candidates == self.eos, 0.0)
        return torch.cat([scores[:, :-1], torch.zeros_like(scores[:, -1:])], dim=1)

    def advance(self, state: State, labels: Tensor) -> State:
        """Returns the states after one more label (H,)."""
        return self.inner.advance(state, labels)

    def subset(self, utterances: Tensor) -> LabelScorer:
        """Returns the scorer of some of the utterances."""
        return SilentAtEos(self.inner.subset(utterances), self.eos)
