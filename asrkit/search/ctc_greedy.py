"""Greedy CTC decoding: the best symbol of every frame, repeats and blanks removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from asrkit.lattice.greedy import collapsed
from asrkit.scorers.entries import Scorer
from asrkit.scorers.interfaces import EncodedFrames, FrameScores, Hypothesis
from asrkit.search.frame_search import FrameSearch
from asrkit.search.parts import SearchParts
from asrkit.search.search import searches


@dataclass
class BestPaths:
    """The best symbols of all frames so far.

    Args:
        parts: What the search works with.
        symbols: (B, T) of each chunk; blank where an utterance has no frame.
        scores: (B, T) their log-probabilities; 0 where an utterance has no frame.
        blank: V.
    """

    parts: SearchParts
    symbols: list[Tensor] = field(default_factory=list)
    scores: list[Tensor] = field(default_factory=list)
    blank: int = 0

    def add(self, frames: FrameScores) -> None:
        """Adds the best symbols of a chunk."""
        best, symbols = frames.log_probs.max(2)  # (B, T)
        self.blank = frames.log_probs.shape[2] - 1
        padding = torch.arange(best.shape[1], device=best.device) >= frames.lengths[:, None]
        self.symbols.append(symbols.masked_fill(padding, self.blank))
        self.scores.append(best.masked_fill(padding, 0.0))


@searches.register("ctc_greedy")
class CtcGreedySearch(FrameSearch[BestPaths]):
    """Takes the best symbol of every frame of a CTC head.

    Args:
        scorers: One entry: that of a CTC head; its weight changes nothing.

    Raises:
        ValueError: If there is more than one.
    """

    def __init__(self, scorers: Mapping[str, float | Scorer] = {"ctc": 1.0}) -> None:  # noqa: B006
        weights = {n: e.weight if isinstance(e, Scorer) else e for n, e in scorers.items()}
        names = [name for name, weight in weights.items() if weight]
        if len(names) > 1:
            raise ValueError(f"scorers {scorers}: greedy decoding takes one, the CTC head's")
        super().__init__(scorers, next(iter(names), ""))

    def begin(self, parts: SearchParts, encoded: EncodedFrames) -> BestPaths:
        """Returns the state before the first frame."""
        return BestPaths(parts)

    def step(self, state: BestPaths, encoded: EncodedFrames) -> None:
        """Searches the next frames."""
        scores = state.parts.frame_scores(self.frames, encoded)
        with state.parts.timed(self.frames):
            state.add(scores)

    def end(self, state: BestPaths) -> list[list[Hypothesis]]:
        """Returns one hypothesis per utterance, scored by its best path."""
        paths = torch.cat(state.symbols, dim=1).cpu()  # (B, T)
        totals = torch.cat(state.scores, dim=1).sum(1).tolist()
        return [
            [Hypothesis(collapsed(path, state.blank), total, {self.frames: total})]
            for path, total in zip(paths, totals, strict=True)
        ]
