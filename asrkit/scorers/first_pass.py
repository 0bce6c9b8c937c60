"""Scores that the first search of a two_pass search has given, as scorers of the second one."""

from __future__ import annotations

from dataclasses import dataclass

from asrkit.scorers.entries import Scorer, scorers
from asrkit.scorers.loader import Loader
from asrkit.scorers.sources import Source


@scorers.register("first_pass")
@dataclass(frozen=True)
class FirstPassScorer(Scorer):
    """The score of one scorer of the first search, with another weight.

    Those that are not named count no more, such as a pruned language model for which the second
    pass has a better one.

    Args:
        weight: Factor of the score.
        scorer: Its name in the first search; the entry's own name where null.
    """

    weight: float
    scorer: str | None = None

    def find(self, name: str, loader: Loader) -> Source:
        """Returns nothing to ask: the hypotheses have the scores."""
        return Source("a score of the first search")
