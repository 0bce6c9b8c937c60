"""The hypotheses of a search by labels, and their extensions by one more."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from asrkit.scorers.interfaces import LabelScorer, State, select
from asrkit.search.parts import SearchParts
from asrkit.search.word_strings import WordStrings


@dataclass
class LabelBeam:
    """Live hypotheses of some utterances, best first, and what scores them.

    Args:
        loaded: What the search works with.
        strings: Tells the words of hypotheses apart, if they are recombined.
        scorers: Label scorers of these utterances by name.
        states: Theirs, with leading axis B * H.
        utterances: Which of the batch they are.
        limits: (B,) most labels.
        totals: (B, H) weighted sums; IMPOSSIBLE where a row holds no hypothesis.
        parts: (B, H, S) sums of each scorer.
        labels: (B, H, U).
        words: (B, H, 2) what they spell, if they are recombined.
        stale: Steps of each utterance without a better ended hypothesis.
        closed: Which utterances have ended.
    """

    loaded: SearchParts
    strings: WordStrings | None
    scorers: dict[str, LabelScorer]
    states: dict[str, State]
    utterances: list[int]
    limits: Tensor
    totals: Tensor
    parts: Tensor
    labels: Tensor
    words: Tensor
    stale: list[int]
    closed: list[bool]

    @classmethod
    def first(
        cls,
        parts: SearchParts,
        strings: WordStrings | None,
        scorers: dict[str, LabelScorer],
        limits: Tensor,
    ) -> LabelBeam:
        """Returns the empty hypothesis of each utterance, with limits (B,)."""
        count, device = len(limits), limits.device
        return cls(
            loaded=parts,
            strings=strings,
            scorers=scorers,
            states={name: scorer.initial_state() for name, scorer in scorers.items()},
            utterances=list(range(count)),
            limits=limits,
            totals=torch.zeros(count, 1, device=device),
            parts=torch.zeros(count, 1, len(scorers), device=device),
            labels=torch.zeros(count, 1, 0, dtype=torch.int64, device=device),
            words=torch.zeros(count, 1, 2, dtype=torch.int64, device=device),
            stale=[0] * count,
            closed=[False] * count,
        )

    def without(self, done: list[bool]) -> LabelBeam:
        """Closes finished utterances, and drops them once they are a quarter of the batch."""
        self.closed = [a or b for a, b in zip(self.closed, done, strict=True)]
        keep = [row for row, closed in enumerate(self.closed) if not closed]
        if not keep or sum(self.closed) * 4 < len(self.closed):
            return self
        index = torch.tensor(keep, dtype=torch.int64, device=self.totals.device)
        width = self.totals.shape[1]
        rows = (index[:, None] * width + torch.arange(width, device=index.device)).flatten()
        return LabelBeam(
            loaded=self.loaded,
            strings=self.strings,
            scorers={name: scorer.subset(index) for name, scorer in self.scorers.items()},
            states={name: select(state, rows) for name, state in self.states.items()},
            utterances=[self.utterances[row] for row in keep],
            limits=self.limits[index],
            totals=self.totals[index],
            parts=self.parts[index],
            labels=self.labels[index],
            words=self.words[index],
            stale=[self.stale[row] for row in keep],
            closed=[False] * len(keep),
        )


@dataclass(frozen=True)
class Extensions:
    """All extensions of a beam (B, H) by C candidates, of which the last is eos.

    Args:
        parts: (B, H, C, S) sums of each scorer, the extension included.
        ending: (B, H) totals of those by eos.
        best: (B, H') totals of the best by a label, best first.
        parents: (B, H') which hypothesis each of them extends.
        columns: (B, H') by which candidate.
        labels: (B, H') that candidate's id.
        words: (B, H', 2) what they spell then, if they are recombined.
    """

    parts: Tensor
    ending: Tensor
    best: Tensor
    parents: Tensor
    columns: Tensor
    labels: Tensor
    words: Tensor
