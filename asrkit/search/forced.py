"""A search that is held to given label sequences: what it would have said of them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from asrkit.scorers.interfaces import IMPOSSIBLE, EncodedFrames, Hypothesis, LabelScorer, State
from asrkit.scorers.sources import Source
from asrkit.search.parts import SearchParts
from asrkit.search.search import LoadedSearch


def forced(
    loaded: LoadedSearch,
    encoded: EncodedFrames,
    references: Sequence[list[int]],
    num_labels: int,
) -> list[Hypothesis | None]:
    """Returns what a search itself says of given label sequences; None where it says impossible.

    The same search runs with one more scorer that rules out everything else, and without pruning
    what is left; or it has an own way to tell.

    Args:
        loaded: A search that can be held to sequences.
        encoded: Frames of B utterances.
        references: Labels of each utterance.
        num_labels: V.

    Raises:
        ValueError: If the search can't be held to sequences.
    """
    told = loaded.search.held_to(loaded.parts, encoded, references, num_labels)
    if told is not None:
        return told
    given = Sequences.of(references, num_labels, encoded.lengths.device)
    name = "forced sequence"
    alike = loaded.search.without_pruning(given.longest)
    if alike is None:
        raise ValueError(f"a {type(loaded.search).__name__} can't be held to given sequences")
    parts = loaded.parts
    along = {n: scored_along(source, given) for n, source in parts.sources.items()}
    sources = {**along, name: Source("a forced sequence", labels=given.alone)}
    weights = {**parts.weights, name: 1.0}
    found = alike.run(SearchParts(sources, weights, vocabulary=parts.vocabulary), encoded)
    result: list[Hypothesis | None] = []
    for n_best, reference in zip(found, references, strict=True):
        match = next(
            (h for h in n_best if h.labels == reference and h.score > IMPOSSIBLE / 2), None
        )
        if match is not None:
            scores = {key: score for key, score in match.scores.items() if key != name}
            match = Hypothesis(match.labels, match.score, scores)
        result.append(match)
    return result


@dataclass(frozen=True)
class Sequences:
    """One label sequence per utterance.

    Args:
        labels: (B, U) labels, padded with any.
        following: (B, U + 1) the label at each place, eos from the end on.
        num_labels: V.
    """

    labels: Tensor
    following: Tensor
    num_labels: int

    @classmethod
    def of(cls, labels: Sequence[list[int]], num_labels: int, device: torch.device) -> Sequences:
        """Returns the sequences of lists."""
        tensors = [torch.tensor(one, dtype=torch.int64) for one in labels]
        padded = torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True).to(device)
        lengths = torch.tensor([len(one) for one in labels], device=device)
        following = torch.nn.functional.pad(padded, (0, 1))
        places = torch.arange(following.shape[1], device=device)
        following = following.masked_fill(places >= lengths[:, None], num_labels)
        return cls(padded, following, num_labels)

    @property
    def longest(self) -> int:
        """U."""
        return self.labels.shape[1]

    def alone(self, encoded: Any) -> LabelScorer:
        """Returns a scorer of 0 for what comes next, and next to nothing for all else."""
        scores = torch.zeros_like(self.following[..., None].expand(-1, -1, 2)).float()
        ended = self.following == self.num_labels
        scores[..., 1] = torch.where(ended, 0.0, IMPOSSIBLE)  # (B, U + 1, 2)
        return _Along(self.following, scores, self.num_labels, IMPOSSIBLE)


def scored_along(source: Source, given: Sequences) -> Source:
    """Returns a source that is asked about one label sequence per utterance and nothing else.

    What it says of that it says once, however often a search comes by: a search over frames may
    take each label in any frame, with a decoder at every one. Frames are scored as they are.
    """
    asked = source.labels
    if asked is None:
        return source

    def labels(encoded: Any) -> LabelScorer:
        return _along(asked(encoded), given)

    return replace(source, labels=labels)


def _along(scorer: LabelScorer, given: Sequences) -> LabelScorer:
    """Returns what a scorer says of the sequences; 0 for all else, which no one may take."""
    following = given.following
    state, parts = scorer.initial_state(), []
    for place in range(following.shape[1]):
        eos = torch.full_like(following[:, place], given.num_labels)
        wanted = torch.stack([following[:, place], eos], dim=1)  # (B, 2)
        if scorer.partial:
            parts.append(scorer.score(state, wanted))
        else:
            parts.append(scorer.score(state).gather(1, wanted))
        if place < given.longest:
            state = scorer.advance(state, given.labels[:, place])
    return _Along(following, torch.stack(parts, dim=1), given.num_labels, 0.0)


class _Along:
    """Scores of the next label of a sequence and of eos; a state is the number of labels so far.

    Args:
        following: (B, U + 1) the next label at each place, V from the end on.
        scores: (B, U + 1, 2) of that label, and of eos.
        num_labels: V.
        others: Score of all other labels.
    """

    partial = False

    def __init__(self, following: Tensor, scores: Tensor, num_labels: int, others: float) -> None:
        self.following, self.scores = following, scores
        self.num_labels, self.others = num_labels, others

    def initial_state(self) -> State:
        return torch.zeros(len(self.following), dtype=torch.int64, device=self.following.device)

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        width = len(state) // max(len(self.following), 1)
        rows = torch.arange(len(state), device=state.device) // max(width, 1)
        places = state.clamp(max=self.following.shape[1] - 1)
        told = self.scores[rows, places]  # (H, 2)
        scores = told.new_full((len(state), self.num_labels + 1), self.others)
        scores.scatter_(1, self.following[rows, places, None], told[:, :1])
        scores[:, self.num_labels] = told[:, 1]
        return scores if candidates is None else scores.gather(1, candidates)

    def advance(self, state: State, labels: Tensor) -> State:
        return state + 1

    def subset(self, utterances: Tensor) -> LabelScorer:
        part = copy(self)
        part.following, part.scores = self.following[utterances], self.scores[utterances]
        return part
