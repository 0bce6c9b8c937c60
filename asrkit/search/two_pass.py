"""Scores of given label sequences, and second passes over n-best lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from asrkit.scorers.entries import Scorer
from asrkit.scorers.first_pass import FirstPassScorer
from asrkit.scorers.interfaces import (
    EncodedFrames,
    Hypothesis,
    Kind,
    LabelScorer,
    State,
    select,
)
from asrkit.scorers.interpolation import InterpolationScorer
from asrkit.scorers.sources import Source
from asrkit.search.forced import forced
from asrkit.search.lengths import LengthNorm
from asrkit.search.parts import SearchParts
from asrkit.search.search import LoadedSearch, Search, searches


def score_labels(scorer: LabelScorer, sequences: Sequence[Sequence[list[int]]]) -> list[Tensor]:
    """Returns the log-probabilities of whole label sequences, end of sentence included.

    Args:
        scorer: Scores next labels of B utterances.
        sequences: Of each utterance, any number of label sequences.

    Returns:
        For each utterance one number per sequence.
    """
    most = max((len(some) for some in sequences), default=0)
    if not most:
        return [torch.zeros(0) for _ in sequences]
    flat = [some[place] if place < len(some) else [] for some in sequences for place in range(most)]
    initial = scorer.initial_state()
    device = scorer.score(initial).device
    rows = torch.arange(len(sequences), device=device).repeat_interleave(most)
    state: State = select(initial, rows)
    total = torch.zeros(len(flat), device=device)
    lengths = torch.tensor([len(labels) for labels in flat], device=device)
    longest = int(lengths.max())
    for step in range(longest + 1):
        scores = scorer.score(state)
        # Ended sequences take some label further on, whose score is not counted.
        ids = [labels[step] if step < len(labels) else 0 for labels in flat]
        following = torch.tensor(ids, device=device)
        gained = scores.gather(1, following[:, None])[:, 0]
        ended = torch.where(lengths == step, scores[:, -1], 0.0)
        total = total + torch.where(lengths > step, gained, ended)
        if step < longest:
            state = scorer.advance(state, following)
    split = total.view(len(sequences), most)
    return [row[: len(some)] for row, some in zip(split, sequences, strict=True)]


def whole_scores(
    parts: SearchParts,
    name: str,
    encoded: EncodedFrames,
    sequences: Sequence[Sequence[list[int]]],
) -> list[Tensor]:
    """Returns what a source says of whole label sequences: of each utterance, one of each.

    Args:
        parts: What the search works with.
        name: Of the source, which scores next labels or whole hypotheses.
        encoded: Frames of the utterances.
        sequences: Of each utterance, any number of label sequences.
    """
    sentences = parts.sources[name].sentences
    with parts.timed(name):
        if sentences is None:
            return score_labels(parts.label_scorers(encoded, [name])[name], sequences)
        flat = iter(sentences([labels for some in sequences for labels in some]))
        return [torch.tensor([next(flat) for _ in some]) for some in sequences]


@searches.register("two_pass")
class TwoPassSearch(Search):
    """Finds an n-best list by one search, and orders it by the scores of others.

    Args:
        first: The search that finds the list.
        scorers: What scores the whole sequences; CTC scores are sums over all alignments. Those of
            type `first_pass` are scores of the first search by themselves.
        first_weight: Factor of the first search's own score.
        length_norm: Exponent e of the division of the new score by (labels + 1)^e.

    Raises:
        ValueError: If a score of the first search is wanted that it doesn't have.
    """

    def __init__(
        self,
        first: Search,
        scorers: Mapping[str, float | Scorer],
        first_weight: float = 0.0,
        length_norm: float = 0.0,
    ) -> None:
        super().__init__(scorers)
        self.first, self.first_weight, self.norm = first, first_weight, LengthNorm(length_norm)
        self.passed = {
            name: entry.scorer or name
            for name, entry in self.entries.items()
            if isinstance(entry, FirstPassScorer)
        }
        lacking = [name for name in self.passed.values() if name not in first.entries]
        if lacking:
            there = ", ".join(first.entries)
            raise ValueError(f"the first search has no scorer {lacking[0]!r}; it has {there}")

    @property
    def inner(self) -> Mapping[str, Search]:
        """The first search."""
        return {"first": self.first}

    @property
    def can_be_forced(self) -> bool:
        """Whether it can say what it thinks of given sequences."""
        return not self._first_counts or self.first.can_be_forced

    @property
    def _first_counts(self) -> bool:
        return bool(self.first_weight or self.passed)

    def kind_of(self, name: str) -> Kind:
        """Returns which kind of scores an entry is used for."""
        return "sentences" if isinstance(self.entries[name], InterpolationScorer) else "labels"

    def _require(self, name: str, source: Source) -> None:
        if name not in self.passed:  # of which the hypotheses have the scores
            super()._require(name, source)

    def held_to(
        self,
        parts: SearchParts,
        encoded: EncodedFrames,
        references: Sequence[list[int]],
        num_labels: int,
    ) -> list[Hypothesis | None]:
        """Returns the new scores of sequences, whether or not the first search finds them.

        They are none where a sequence is impossible to the first search, if its score counts.
        """
        firsts: list[Hypothesis | None] = [Hypothesis([*labels], 0.0) for labels in references]
        if self._first_counts:
            inner = parts.searches["first"]
            assert isinstance(inner, LoadedSearch)
            firsts = forced(inner, encoded, references, num_labels)
        scores = self._scores(parts, encoded, [[labels] for labels in references])
        return [
            None if one is None else self._rescored(one, {n: float(s[row][0]) for n, s in scores})
            for row, one in enumerate(firsts)
        ]

    def run(self, parts: SearchParts, encoded: EncodedFrames) -> list[list[Hypothesis]]:
        """Returns the first search's lists in their new order."""
        with parts.timed("first"):
            lists = parts.searches["first"].run(encoded, parts.utterances)
        labels = [[hypothesis.labels for hypothesis in n_best] for n_best in lists]
        scores = self._scores(parts, encoded, labels)
        return [
            sorted(
                (
                    self._rescored(old, {n: float(s[row][place]) for n, s in scores})
                    for place, old in enumerate(n_best)
                ),
                key=lambda hypothesis: -hypothesis.score,
            )
            for row, n_best in enumerate(lists)
        ]

    def _scores(
        self, parts: SearchParts, encoded: EncodedFrames, lists: Sequence[Sequence[list[int]]]
    ) -> list[tuple[str, list[Tensor]]]:
        """Returns the scores of whole sequences by each scorer."""
        scores = []
        for name in parts.sources:
            if name not in self.passed:
                scores.append((name, whole_scores(parts, name, encoded, lists)))
        return scores

    def _rescored(self, old: Hypothesis, scores: dict[str, float]) -> Hypothesis:
        scores |= {name: old.scores[first] for name, first in self.passed.items()}
        total = sum(self.weights[name] * score for name, score in scores.items())
        total /= self.norm.divisor(len(old.labels))
        total += self.first_weight * old.score
        return Hypothesis(old.labels, total, {**scores, "first": old.score})
