"""Greedy CTC decoding: the best symbol of every frame, repeats and blanks removed."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from asrkit.lattice.greedy import greedy_labels
from asrkit.scorers.entries import Scorer
from asrkit.scorers.interfaces import EncodedFrames, Hypothesis, ScoringHead
from asrkit.search.search import Search, searches


@searches.register("ctc_greedy")
class CtcGreedySearch(Search):
    """Takes the best symbol of every frame of a CTC head.

    Args:
        scorers: One entry: that of a CTC head; its weight changes nothing.

    Raises:
        ValueError: If there is more than one.
    """

    def __init__(self, scorers: Mapping[str, float | Scorer] = {"ctc": 1.0}) -> None:  # noqa: B006
        super().__init__(scorers)
        if len(self.weights) != 1:
            raise ValueError(f"scorers {scorers}: greedy decoding takes one, the CTC head's")
        self.head_name = next(iter(self.weights))

    def run(
        self, heads: Mapping[str, ScoringHead], encoded: EncodedFrames
    ) -> list[list[Hypothesis]]:
        """Returns one hypothesis per utterance, scored by its best path."""
        with self.timed(self.head_name):
            scorer = self.head(heads, self.head_name).frame_scorer(encoded)
            labels = greedy_labels(scorer.log_probs, scorer.lengths)
            best = scorer.log_probs.amax(2)  # (B, T)
            frames = torch.arange(best.shape[1], device=best.device)
            best = best.masked_fill(frames >= scorer.lengths[:, None], 0.0)
            totals = best.sum(1).tolist()
        return [
            [Hypothesis(found, total, {self.head_name: total})]
            for found, total in zip(labels, totals, strict=True)
        ]
