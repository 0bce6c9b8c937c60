"""Searches that look for nothing new: they choose among what others have found before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asrkit.errors import UserError
from asrkit.scorers.entries import Scorer
from asrkit.scorers.interfaces import EncodedFrames, Hypothesis, Kind
from asrkit.scorers.interpolation import InterpolationScorer
from asrkit.scorers.lists import ListsScorer
from asrkit.search.parts import SearchParts
from asrkit.search.search import Search, searches
from asrkit.search.two_pass import whole_scores


class ListsSearch(Search):
    """A search over what the scorers of type `lists` have.

    Args:
        scorers: By name.

    Raises:
        ValueError: If none is of type `lists`.
    """

    def __init__(self, scorers: Mapping[str, float | Scorer]) -> None:
        super().__init__(scorers)
        self.found = [n for n, entry in self.entries.items() if isinstance(entry, ListsScorer)]
        if not self.found:
            there = ", ".join(self.entries)
            raise ValueError(f"scorers ({there}): at least one must be of type lists")

    def kind_of(self, name: str) -> Kind:
        """Returns which kind of scores an entry is used for."""
        if isinstance(self.entries[name], InterpolationScorer):
            return "sentences"
        return "lists" if name in self.found else "labels"

    def lists(
        self, parts: SearchParts, encoded: EncodedFrames
    ) -> dict[str, list[list[Hypothesis]]]:
        """Returns what was found before in each utterance, by scorer.

        Raises:
            UserError: If the utterances have no names.
        """
        if len(parts.utterances) != len(encoded.lengths):
            raise UserError(
                "a search with scorers of type lists chooses among what was found in decoded sets: "
                "use it by asrkit decode or tune"
            )
        return {name: parts.lists(name) for name in self.found}


@searches.register("combination")
class CombinationSearch(ListsSearch):
    """Joins lists of hypotheses, and orders them by the weighted sum of all scores.

    A hypothesis is known by its words. One that a list lacks has the list's lowest score, less
    `missing`; a list without hypotheses says nothing. Other scorers, such as language models, score
    all of the joined hypotheses; with one list alone they give it a new order, without another
    search.

    Args:
        scorers: Some of type `lists`, and others that score labels.
        missing: How much less than the lowest one of a list hypotheses have that it lacks.
        nbest: Most hypotheses of an utterance.

    Raises:
        ValueError: If no scorer is of type `lists`, or a number is impossible.
    """

    def __init__(
        self, scorers: Mapping[str, float | Scorer], missing: float = 1.0, nbest: int = 100
    ) -> None:
        super().__init__(scorers)
        if missing < 0 or nbest < 1:
            raise ValueError(
                f"missing ({missing}) must not be below 0, nbest ({nbest}) not below 1"
            )
        self.missing, self.nbest = missing, nbest

    def run(self, parts: SearchParts, encoded: EncodedFrames) -> list[list[Hypothesis]]:
        """Returns the joined lists, best first."""
        lists = self.lists(parts, encoded)
        joined = [
            joined_labels([found[row] for found in lists.values()])
            for row in range(len(encoded.lengths))
        ]
        scores = {
            name: [
                scores_in(found, labels, self.missing)
                for found, labels in zip(lists[name], joined, strict=True)
            ]
            for name in self.found
        }
        for name in parts.sources:
            if name not in lists:
                found = whole_scores(parts, name, encoded, joined)
                scores[name] = [row.tolist() for row in found]
        return [
            self._ordered(labels, {name: rows[row] for name, rows in scores.items()})
            for row, labels in enumerate(joined)
        ]

    def _ordered(
        self, joined: Sequence[list[int]], scores: Mapping[str, Sequence[float]]
    ) -> list[Hypothesis]:
        """Returns the hypotheses of an utterance with their scores, best first."""
        found = []
        for place, labels in enumerate(joined):
            each = {name: of_all[place] for name, of_all in scores.items()}
            total = sum(self.weights[name] * score for name, score in each.items())
            found.append(Hypothesis(labels, total, each))
        return sorted(found, key=lambda one: -one.score)[: self.nbest]


def joined_labels(lists: Sequence[Sequence[Hypothesis]]) -> list[list[int]]:
    """Returns the label sequences that any list has, each once, in their order."""
    found = {tuple(one.labels): None for hypotheses in lists for one in hypotheses}
    return [[*labels] for labels in found]


def scores_in(
    found: Sequence[Hypothesis], joined: Sequence[list[int]], missing: float
) -> list[float]:
    """Returns what a list says of label sequences.

    Args:
        found: The list.
        joined: The sequences.
        missing: How much less than its lowest score those have that it lacks.
    """
    known: dict[tuple[int, ...], float] = {}
    for one in found:
        known[*one.labels] = max(one.score, known.get((*one.labels,), one.score))
    lowest = min(known.values(), default=missing) - missing
    return [known.get((*labels,), lowest) for labels in joined]
