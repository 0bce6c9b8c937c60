"""What every search has in common."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from asrkit.config.registry import Registry
from asrkit.errors import UserError
from asrkit.scorers.entries import HeadScorer, Scorer
from asrkit.scorers.interfaces import EncodedFrames, Hypothesis, ScoringHead
from asrkit.scorers.loader import Loader


class Search(ABC):
    """Finds the best label sequences of utterances.

    `scorers` has an entry for everything that scores, `weights` those that are not 0, and
    `scorer_seconds` adds up the time that each took.

    Args:
        scorers: Entries by name; a number is the weight of the head of that name. A weight of 0
            is the same as leaving the entry out.

    Raises:
        ValueError: If no entry has a weight, or one is no finite number.
    """

    def __init__(self, scorers: Mapping[str, float | Scorer]) -> None:
        entries = {
            name: entry if isinstance(entry, Scorer) else HeadScorer(entry)
            for name, entry in scorers.items()
        }
        self.scorers = scorers
        self.entries = {name: entry for name, entry in entries.items() if entry.weight}
        self.weights = {name: entry.weight for name, entry in self.entries.items()}
        wild = [f"{name}: {x}" for name, x in self.weights.items() if not math.isfinite(x)]
        if wild:
            raise ValueError(f"weights must be finite numbers, got {', '.join(wild)}")
        if not self.entries:
            raise ValueError(f"scorers {dict(scorers)}: at least one weight must not be 0")
        self.scorer_seconds: dict[str, float] = defaultdict(float)

    @property
    def own_heads(self) -> list[str]:
        """The heads of the decoded model that the search uses."""
        names = (entry.own_head(name) for name, entry in self.entries.items())
        return [name for name in names if name is not None]

    def load(self, loader: Loader) -> dict[str, ScoringHead]:
        """Returns what scores, by the name of its entry."""
        return {name: entry.load(name, loader) for name, entry in self.entries.items()}

    @abstractmethod
    def run(
        self, heads: Mapping[str, ScoringHead], encoded: EncodedFrames
    ) -> list[list[Hypothesis]]:
        """Returns an n-best list per utterance, best first; `heads` are those of `load`."""

    def head(self, heads: Mapping[str, ScoringHead], name: str) -> ScoringHead:
        """Returns a head by name.

        Raises:
            UserError: If there is no such head; names those that there are.
        """
        if name not in heads:
            raise UserError(f"the search needs a head {name!r}; there are {', '.join(heads)}")
        return heads[name]

    def without_pruning(self, num_labels: int) -> Search | None:
        """Returns a copy that prunes no beginning of a single sequence of so many labels.

        It is what `forced` needs; None says that the search can't be held to given sequences.
        """
        return None

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Adds the time of a block to a scorer's."""
        start = time.perf_counter()
        yield
        self.scorer_seconds[name] += time.perf_counter() - start


searches: Registry[Search] = Registry("search", Search)
