"""Greedy CTC decoding: the best symbol of every frame, repeats and blanks removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from asrkit.lattice.cells import frame_scores
from asrkit.lattice.greedy import collapsed
from asrkit.lattice.topologies import CtcTopology
from asrkit.lattice.viterbi import best_alignment
from asrkit.scorers.entries import Scorer
from asrkit.scorers.interfaces import IMPOSSIBLE, EncodedFrames, FrameScores, Hypothesis
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

    @property
    def can_be_forced(self) -> bool:
        """Whether it can say what it thinks of given sequences: the score of their best paths."""
        return True

    def held_to(
        self,
        parts: SearchParts,
        encoded: EncodedFrames,
        references: Sequence[list[int]],
        num_labels: int,
    ) -> list[Hypothesis | None]:
        """Returns the best path of each sequence; None where it doesn't fit into the frames."""
        frames = parts.frame_scores(self.frames, encoded)
        log_probs, device = frames.log_probs.float(), frames.log_probs.device
        rows = [torch.tensor(labels, dtype=torch.int64, device=device) for labels in references]
        labels = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)  # (B, U)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        how = CtcTopology(), log_probs.shape[2] - 1
        scores = frame_scores(log_probs, labels, lengths, *how)
        found = best_alignment(scores, labels, frames.lengths, lengths, *how).log_probs.tolist()
        return [
            Hypothesis(reference, total, {self.frames: total}) if total > IMPOSSIBLE / 2 else None
            for reference, total in zip(references, found, strict=True)
        ]
