"""Where scorers get what they are made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from torch import Tensor

from asrkit.scorers.interfaces import ScoringHead
from asrkit.text.vocabulary import Vocabulary

View = Callable[[ScoringHead], ScoringHead]


def plain(head: ScoringHead) -> ScoringHead:
    """Returns a head as it is."""
    return head


class Loader(Protocol):
    """Finds what scorers are made of; `vocabulary` holds the labels of the search."""

    vocabulary: Vocabulary

    def head(self, name: str, run: Path | None, checkpoint: str, view: View = plain) -> ScoringHead:
        """Returns what `view` makes of a head of the decoded model, or of that of another run."""
        ...

    def language_model(self, run: Path, checkpoint: str) -> ScoringHead:
        """Returns a trained language model."""
        ...

    def ngram(self, path: Path) -> ScoringHead:
        """Returns an n-gram model over the same labels, from an ARPA file."""
        ...

    def prior(self, path: Path, run: Path | None, checkpoint: str) -> Tensor:
        """Returns log-priors (V + 1,) that were estimated with the same weights."""
        ...
