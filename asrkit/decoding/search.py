"""What every search has in common."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import torch

from asrkit.config.registry import Registry
from asrkit.decoding.interfaces import FrameScorer, Hypothesis, LabelScorer
from asrkit.errors import UserError


class EncodedFrames(Protocol):
    """What an encoder gives; searches only hand it on to the heads."""

    @property
    def lengths(self) -> torch.Tensor:
        """(B,) valid frames."""
        ...


class ScoringHead(Protocol):
    """A head, as far as a search needs to know it."""

    def label_scorer(self, encoded: Any) -> LabelScorer:
        """Returns the scorer of next labels."""
        ...

    def frame_scorer(self, encoded: Any) -> FrameScorer:
        """Returns the scorer of frame symbols."""
        ...


class Search(ABC):
    """Finds the best label sequences of utterances.

    `scorer_seconds` adds up the time that each scorer took.
    """

    def __init__(self) -> None:
        self.scorer_seconds: dict[str, float] = defaultdict(float)

    @property
    @abstractmethod
    def head_names(self) -> list[str]:
        """The heads that the search uses."""

    @abstractmethod
    def run(
        self, heads: Mapping[str, ScoringHead], encoded: EncodedFrames
    ) -> list[list[Hypothesis]]:
        """Returns an n-best list per utterance, best first."""

    def head(self, heads: Mapping[str, ScoringHead], name: str) -> ScoringHead:
        """Returns a head by name.

        Raises:
            UserError: If the model has no such head; names those that it has.
        """
        if name not in heads:
            raise UserError(f"the search needs a head {name!r}; the model has {', '.join(heads)}")
        return heads[name]

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Adds the time of a block to a scorer's."""
        start = time.perf_counter()
        yield
        self.scorer_seconds[name] += time.perf_counter() - start


searches: Registry[Search] = Registry("search", Search)
