"""Scores of given label sequences: second passes over n-best lists, and forced references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from asrkit.decoding.interfaces import (
    IMPOSSIBLE,
    EncodedFrames,
    FrameScorer,
    Hypothesis,
    LabelScorer,
    ScoringHead,
    State,
    scores_no_frames,
    select,
)
from asrkit.decoding.loader import Loader
from asrkit.decoding.scorers import Scorer
from asrkit.decoding.search import Search, searches


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


@searches.register("two_pass")
class TwoPassSearch(Search):
    """Finds an n-best list by one search, and orders it by the scores of others.

    Args:
        first: The search that finds the list.
        scorers: What scores the whole sequences; CTC scores are sums over all alignments.
        first_weight: Factor of the first search's own score.
        length_norm: Exponent e of the division of the new score by (labels + 1)^e.
    """

    def __init__(
        self,
        first: Search,
        scorers: Mapping[str, float | Scorer],
        first_weight: float = 0.0,
        length_norm: float = 0.0,
    ) -> None:
        super().__init__(scorers)
        self.first, self.first_weight, self.length_norm = first, first_weight, length_norm

    @property
    def own_heads(self) -> list[str]:
        """The heads of both passes."""
        return [*super().own_heads, *self.first.own_heads]

    def load(self, loader: Loader) -> dict[str, ScoringHead]:
        """Returns what scores in the second pass, and in the first by names below `first.`."""
        before = {f"first.{name}": head for name, head in self.first.load(loader).items()}
        return {**super().load(loader), **before}

    def run(
        self, heads: Mapping[str, ScoringHead], encoded: EncodedFrames
    ) -> list[list[Hypothesis]]:
        """Returns the first search's lists in their new order."""
        before = {
            name.removeprefix("first."): head
            for name, head in heads.items()
            if name.startswith("first.")
        }
        with self.timed("first"):
            lists = self.first.run(before, encoded)
        labels = [[hypothesis.labels for hypothesis in n_best] for n_best in lists]
        parts: dict[str, list[Tensor]] = {}
        for name in self.weights:
            with self.timed(name):
                scorer = self.head(heads, name).label_scorer(encoded)
                parts[name] = score_labels(scorer, labels)
        return [
            sorted(
                (
                    self._rescored(old, {n: float(s[row][place]) for n, s in parts.items()})
                    for place, old in enumerate(n_best)
                ),
                key=lambda hypothesis: -hypothesis.score,
            )
            for row, n_best in enumerate(lists)
        ]

    def _rescored(self, old: Hypothesis, scores: dict[str, float]) -> Hypothesis:
        total = sum(self.weights[name] * score for name, score in scores.items())
        total /= (len(old.labels) + 1) ** self.length_norm
        total += self.first_weight * old.score
        return Hypothesis(old.labels, total, {**scores, "first": old.score})


@dataclass(frozen=True)
class ForcedHead:
    """A head that allows one label sequence per utterance and nothing else.

    Args:
        sequences: (B, U) labels, padded.
        lengths: (B,) labels of each.
        num_labels: V.
    """

    sequences: Tensor
    lengths: Tensor
    num_labels: int

    def label_scorer(self, encoded: Any) -> LabelScorer:
        """Returns 0 for what comes next in the sequence, and next to nothing for all else."""
        return _Forced(self.sequences, self.lengths, self.num_labels)

    def frame_scorer(self, encoded: Any) -> FrameScorer:
        """There are no symbols of frames."""
        raise scores_no_frames("a forced sequence")


class _Forced:
    """A state is the number of labels so far; a hypothesis never leaves the sequence."""

    partial = False

    def __init__(self, sequences: Tensor, lengths: Tensor, num_labels: int) -> None:
        edge = torch.full_like(sequences[:, :1], num_labels)
        padded = torch.cat([sequences, edge], dim=1)
        places = torch.arange(padded.shape[1], device=lengths.device)
        self.next = padded.masked_fill(places >= lengths[:, None], num_labels)  # (B, U + 1)
        self.num_labels = num_labels

    def initial_state(self) -> State:
        return torch.zeros(len(self.next), dtype=torch.int64, device=self.next.device)

    def score(self, state: State, candidates: Tensor | None = None) -> Tensor:
        each = self.next.repeat_interleave(len(state) // len(self.next), dim=0)
        following = each.gather(1, state.clamp(max=each.shape[1] - 1)[:, None])
        scores = torch.full((len(state), self.num_labels + 1), IMPOSSIBLE, device=state.device)
        scores.scatter_(1, following, 0.0)
        return scores if candidates is None else scores.gather(1, candidates)

    def advance(self, state: State, labels: Tensor) -> State:
        return state + 1

    def subset(self, utterances: Tensor) -> LabelScorer:
        part = copy(self)
        part.next = self.next[utterances]
        return part


def forced(
    search: Search,
    heads: Mapping[str, ScoringHead],
    encoded: EncodedFrames,
    references: Sequence[list[int]],
    num_labels: int,
) -> list[Hypothesis | None]:
    """Returns what a search itself says of given label sequences; None where it says impossible.

    The same search runs with one more scorer that rules out everything else, and with a beam that
    holds all beginnings of the sequences, so that nothing of them is pruned.
    """
    device = encoded.lengths.device
    labels = [torch.tensor(reference, dtype=torch.int64) for reference in references]
    padded = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True).to(device)
    lengths = torch.tensor([len(label) for label in labels], device=device)
    name = "forced sequence"
    alike = copy(search)
    alike.weights = {**search.weights, name: 1.0}
    longest = int(lengths.max()) if len(lengths) else 0
    # Each beginning ends in its label or in blank, and is reached in up to three ways.
    enough = 6 * (longest + 1)
    setattr(alike, "beam_size", max(enough, getattr(search, "beam_size", 1)))  # noqa: B010
    if hasattr(alike, "symbols"):
        setattr(alike, "symbols", None)  # noqa: B010 - nor are labels of a frame left out
    head = ForcedHead(padded, lengths, num_labels)
    found = alike.run({**heads, name: head}, encoded)
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
