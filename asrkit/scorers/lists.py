"""The n-best lists of decoded sets as scorers, for searches that combine what others have found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from asrkit.errors import UserError
from asrkit.scorers.entries import Scorer, scorers
from asrkit.scorers.interfaces import Hypothesis
from asrkit.scorers.loader import Loader
from asrkit.scorers.sources import Source


@scorers.register("lists")
@dataclass(frozen=True)
class ListsScorer(Scorer):
    """The scores of what a search has found in a set that was decoded before.

    Args:
        weight: Factor of the score.
        search: Name of the search.
        run: Run folder that it decoded; that of the decoded model where null. Its labels may be
            others: the words count.
        scorer: The scorer of that search whose score is taken; the search's own score where null.
        most: Hypotheses of an utterance; where a search wrote lattices, they come from these, else
            there are as many as were written.

    Raises:
        ValueError: If no hypothesis is wanted.
    """

    weight: float
    search: str
    run: Path | None = None
    scorer: str | None = None
    most: int = 100

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"most ({self.most}) must be at least 1")

    def find(self, name: str, loader: Loader) -> Source:
        """Returns the lists."""
        what = f"the lists of search {self.search!r}"
        found = loader.lists(self.search, self.run, self.most)
        part = self.scorer
        return Source(what, lists=found if part is None else _of_scorer(found, part, what))


def _of_scorer(
    found: Callable[[str], list[Hypothesis]], scorer: str, what: str
) -> Callable[[str], list[Hypothesis]]:
    """Returns lists with the score of one scorer."""

    def lists(utterance: str) -> list[Hypothesis]:
        return [*_scored_by(found(utterance), scorer, what)]

    return lists


def _scored_by(hypotheses: list[Hypothesis], scorer: str, what: str) -> Iterable[Hypothesis]:
    for one in hypotheses:
        if scorer not in one.scores:
            there = ", ".join(one.scores) or "none"
            raise UserError(f"{what} have no score of a scorer {scorer!r}; they have {there}")
        yield Hypothesis(one.labels, one.scores[scorer], one.scores)
