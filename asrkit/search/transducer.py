"""Time-synchronous beam search for transducers, over many utterances at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from asrkit.errors import UserError
from asrkit.scorers.entries import Scorer
from asrkit.scorers.interfaces import (
    IMPOSSIBLE,
    EncodedFrames,
    Hypothesis,
    ScoringHead,
    SymbolHead,
    SymbolScorer,
    join,
    select,
)
from asrkit.search.beam import MULTIPLIER, Beam, n_best
from asrkit.search.frame_search import FrameSearch
from asrkit.search.label_states import LabelStates
from asrkit.search.search import searches


@searches.register("transducer")
class TransducerSearch(FrameSearch):
    """Extends hypotheses frame by frame by the symbols of a transducer head.

    Where a frame has one symbol (RNA, CTC), all hypotheses take one. In RNN-T a hypothesis that
    took a label stays in the frame until it takes blank, and competes meanwhile with those that
    wait for the next frame; a beam of one is the greedy search. A new label scores what the
    transducer says, weighted, plus what the label scorers say; blanks and repetitions score by the
    transducer alone.

    Args:
        beam_size: Hypotheses per utterance.
        scorers: Weight, or more, of each scorer by name; among them the transducer's.
        transducer: Which of the scorers is the transducer head.
        recombination: What becomes of hypotheses of one label string before each frame: they are
            summed, the best stays, or all stay.
        max_symbols: Most labels in a frame; after that many comes blank.
        eos: Whether label scorers score the end of the sentence after the last frame.

    Raises:
        ValueError: If the transducer's scorer is missing, or a size is below 1.

    Source: Graves 2012, section 2.5; Zeyer et al. 2020 (recombination by sum). At the end,
        hypotheses of one label string are summed, unless recombination takes the best.
    """

    def __init__(
        self,
        beam_size: int,
        scorers: Mapping[str, float | Scorer] = {"transducer": 1.0},  # noqa: B006 - never changed
        transducer: str = "transducer",
        recombination: Literal["sum", "max", "none"] = "sum",
        max_symbols: int = 10,
        eos: bool = True,
    ) -> None:
        super().__init__(scorers, beam_size, transducer, setting="transducer")
        if max_symbols < 1:
            raise ValueError(f"max_symbols ({max_symbols}) must be at least 1")
        self.recombination, self.max_symbols, self.eos = recombination, max_symbols, eos

    def run(
        self, heads: Mapping[str, ScoringHead], encoded: EncodedFrames
    ) -> list[list[Hypothesis]]:
        """Returns an n-best list per utterance, best first."""
        head = self.head(heads, self.frames)
        if not isinstance(head, SymbolHead):
            kind = type(head).__name__
            raise UserError(f"scorer {self.frames!r}: expected a transducer head, got {kind}")
        with self.timed(self.frames):
            symbols = _SymbolStates(head.symbol_scorer(encoded))
            first = symbols.score(0)
        labels = self.label_states(heads, encoded, first[:, 0])
        beam = Beam.first(first)
        lengths = symbols.scorer.lengths
        for frame in range(int(lengths.max())):
            beam = self._frame(beam, symbols, labels, frame, frame < lengths)
        add = self.recombination != "max"
        frames = (self.frames, self.weights[self.frames])
        return n_best(beam, labels, frames, self.eos, add)

    def _frame(
        self, beam: Beam, symbols: _SymbolStates, labels: LabelStates, frame: int, going: Tensor
    ) -> Beam:
        """Moves the beam over a frame; utterances that have ended (not going (B,)) stay."""
        with self.timed(self.frames):
            symbols.enter(beam, frame)
        stays = symbols.scorer.topology.labels_stay
        inside = going[:, None] & beam.alive  # (B, K): what has not yet left the frame
        taken = 0
        while bool(inside.any()):
            may_emit = taken < self.max_symbols
            gains = self._gains(beam, symbols, labels, frame, may_emit)
            gains = torch.where(inside[..., None], gains, _waiting(gains))
            every = (beam.totals[..., None] + gains).clamp(min=IMPOSSIBLE)  # (B, K, V + 1)
            beam, emitted, moved = self._best(beam, every, symbols, labels, inside)
            inside = moved & emitted & beam.alive if stays else torch.zeros_like(moved)
            if self.recombination != "none":
                self._recombine(beam, inside, symbols)
                inside = inside & beam.alive
            taken += 1
        return beam

    def _gains(
        self, beam: Beam, symbols: _SymbolStates, labels: LabelStates, frame: int, may_emit: bool
    ) -> Tensor:
        """Returns what every symbol adds to every hypothesis: (B, K, V + 1)."""
        with self.timed(self.frames):
            own = self.weights[self.frames] * symbols.score(frame)
        if not may_emit:
            return own[..., -1:] + _waiting(own)
        gains = own + labels.weighted()
        gains[..., -1] = own[..., -1]
        if symbols.repeats:
            place = beam.last.clamp(min=0, max=beam.blank - 1)[..., None]
            repeated = torch.where(
                beam.spoke[..., None], own.gather(2, place), gains.gather(2, place)
            )
            gains = gains.scatter(2, place, repeated)
        return gains

    def _best(
        self,
        beam: Beam,
        every: Tensor,
        symbols: _SymbolStates,
        labels: LabelStates,
        inside: Tensor,
    ) -> tuple[Beam, Tensor, Tensor]:
        """Returns the best of all (B, K, V + 1), which emitted a label, and which moved."""
        width, size = every.shape[1:]
        best, places = every.flatten(1).topk(min(self.beam_size, width * size), dim=1)
        parents = torch.div(places, size, rounding_mode="floor")
        chosen = places % size
        last, moved = beam.last.gather(1, parents), inside.gather(1, parents)
        emitted = (chosen < size - 1) & (best > IMPOSSIBLE / 2)
        if symbols.repeats:
            emitted &= chosen != last
        labels.advance(parents, chosen, emitted)
        with self.timed(self.frames):
            symbols.advance(parents, chosen, emitted)
        following = beam.moved(parents, chosen, emitted, best)
        following.last = torch.where(moved, chosen, last)
        return following, emitted, moved

    def _recombine(self, beam: Beam, inside: Tensor, symbols: _SymbolStates) -> None:
        """Joins hypotheses with one label string and one future."""
        keys = beam.hashes * MULTIPLIER + inside.long()
        if symbols.repeats:
            keys = keys * MULTIPLIER + beam.spoke.long()
        beam.recombine(keys, add=self.recombination == "sum")


class _SymbolStates:
    """What a transducer says of a beam of B x K label strings; moves where labels are emitted.

    Args:
        scorer: The transducer's.
    """

    def __init__(self, scorer: SymbolScorer) -> None:
        self.scorer = scorer
        self.state = scorer.initial_state()
        self.num_utterances, self.width = len(scorer.lengths), 1
        self.repeats = scorer.topology.labels_repeat

    def enter(self, beam: Beam, frame: int) -> None:
        """Moves into a frame."""
        last = torch.where(beam.last < 0, beam.blank, beam.last)
        self.state = self.scorer.enter(self.state, last.flatten(), frame)

    def score(self, frame: int) -> Tensor:
        """Returns log-probabilities (B, K, V + 1) of a frame's symbols."""
        scores = self.scorer.score(self.state, frame)
        return scores.view(self.num_utterances, -1, scores.shape[1])

    def advance(self, parents: Tensor, labels: Tensor, emitted: Tensor) -> None:
        """Moves to a beam (B, K'): whom each goes on from, and its label where it emitted one."""
        rows = torch.arange(self.num_utterances, device=parents.device)[:, None]
        index = rows * self.width + parents
        old, self.width = self.num_utterances * self.width, parents.shape[1]
        moving = index[emitted]
        if not len(moving):
            self.state = select(self.state, index.flatten())
            return
        moved = self.scorer.advance(select(self.state, moving), labels[emitted])
        index[emitted] = old + torch.arange(len(moving), device=index.device)
        self.state = select(join(self.state, moved), index.flatten())


def _waiting(gains: Tensor) -> Tensor:
    """Returns the gains (B, K, V + 1) of what stays as it is: as if a blank cost nothing."""
    stay = torch.full_like(gains, IMPOSSIBLE)
    stay[..., -1] = 0.0
    return stay
