"""Time-synchronous beam search for transducers, over many utterances at once."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from asrkit.scorers.entries import Scorer
from asrkit.scorers.interfaces import (
    IMPOSSIBLE,
    EncodedFrames,
    Hypothesis,
    Kind,
    SymbolScorer,
    join,
    select,
)
from asrkit.search.beam import Beam, Ended, n_best
from asrkit.search.frame_search import (
    BeamedSearch,
    BeamState,
    Strings,
    beam_of_beginnings,
    first_beam,
)
from asrkit.search.parts import SearchParts
from asrkit.search.search import Search, searches
from asrkit.search.word_strings import MULTIPLIER


@dataclass
class TransducerState(BeamState):
    """Where a transducer search is.

    Args:
        parts: What it works with.
        labels: What label scorers say of the hypotheses.
        beam: The hypotheses.
        symbols: What the transducer says of them; None before the first frames.
    """

    symbols: SymbolStates | None = None


@searches.register("transducer")
class TransducerSearch(BeamedSearch[TransducerState]):
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
        recombination: What becomes of hypotheses of one string before each frame: they are
            summed, the best stays, or all stay.
        max_symbols: Most labels in a frame; after that many comes blank.
        eos: Whether label scorers score the end of the sentence after the last frame.
        strings: Whether those of the same labels have one string, or also those that spell the
            same words with others; what each scorer says is then that of the best one.

    Raises:
        ValueError: If the transducer's scorer is missing, or a size is below 1.

    Source: Graves 2012, section 2.5; Zeyer et al. 2020 (recombination by sum). At the end,
        hypotheses of one string are summed, unless recombination takes the best.
    """

    scored: ClassVar[Kind] = "symbols"

    def __init__(
        self,
        beam_size: int,
        scorers: Mapping[str, float | Scorer] = {"transducer": 1.0},  # noqa: B006 - never changed
        transducer: str = "transducer",
        recombination: Literal["sum", "max", "none"] = "sum",
        max_symbols: int = 10,
        eos: bool = True,
        strings: Strings = "labels",
    ) -> None:
        super().__init__(scorers, beam_size, transducer, setting="transducer")
        if max_symbols < 1:
            raise ValueError(f"max_symbols ({max_symbols}) must be at least 1")
        self.recombination, self.max_symbols, self.eos = recombination, max_symbols, eos
        self.strings = strings

    def begin(self, parts: SearchParts, encoded: EncodedFrames) -> TransducerState:
        """Returns the state before the first frame."""
        beam = first_beam(parts, encoded, self.strings)
        return TransducerState(parts, self.label_states(parts, encoded), beam)

    def step(self, state: TransducerState, encoded: EncodedFrames) -> None:
        """Searches the next frames."""
        scorer = state.parts.symbol_scorer(self.frames, encoded)
        if state.symbols is None:
            state.symbols = SymbolStates(scorer)
        state.symbols.scorer = scorer
        for frame in range(int(scorer.lengths.max())):
            self._frame(state, state.symbols, frame, frame < scorer.lengths)

    def end(self, state: TransducerState) -> list[list[Hypothesis]]:
        """Returns an n-best list per utterance, best first."""
        frames = (self.frames, state.parts.weights[self.frames])
        ended = Ended.of(state.beam, state.labels, frames, self.eos)
        return n_best(ended, self.recombination != "max")

    def without_pruning(self, num_labels: int) -> Search:
        """Returns a copy with a beam for all beginnings of a sequence, which stay apart.

        Where hypotheses of one string are not recombined, those that are left are summed at the
        end, so that without pruning all are.
        """
        alike = copy(self)
        alike.beam_size = beam_of_beginnings(num_labels)
        alike.strings = "labels"
        alike.recombination = "max" if self.recombination == "max" else "sum"
        return alike

    def _frame(
        self, state: TransducerState, symbols: SymbolStates, frame: int, going: Tensor
    ) -> None:
        """Moves the beam over a frame; utterances that have ended (not going (B,)) stay."""
        with state.parts.timed(self.frames):
            symbols.enter(state.beam, frame)
        stays = symbols.scorer.topology.labels_stay
        inside = going[:, None] & state.beam.alive  # (B, H): what has not yet left the frame
        taken = 0
        while bool(inside.any()):
            may_emit = taken < self.max_symbols
            gains = self._gains(state, symbols, frame, may_emit)
            gains = torch.where(inside[..., None], gains, _waiting(gains))
            every = (state.beam.totals[..., None] + gains).clamp(min=IMPOSSIBLE)  # (B, H, V + 1)
            emitted, moved = self._keep_best(state, symbols, every, inside)
            inside = moved & emitted & state.beam.alive if stays else torch.zeros_like(moved)
            if self.recombination != "none":
                self._recombine(state.beam, inside, symbols)
                inside = inside & state.beam.alive
            taken += 1

    def _gains(
        self, state: TransducerState, symbols: SymbolStates, frame: int, may_emit: bool
    ) -> Tensor:
        """Returns what every symbol adds to every hypothesis: (B, H, V + 1)."""
        beam = state.beam
        with state.parts.timed(self.frames):
            own = state.parts.weights[self.frames] * symbols.score(frame)  # (B, H, V + 1)
        if not may_emit:
            return own[..., -1:] + _waiting(own)
        gains = own + state.labels.weighted()
        gains[..., -1] = own[..., -1]
        if symbols.repeats:
            place = beam.last.clamp(min=0, max=symbols.blank - 1)[..., None]  # (B, H, 1)
            repeated = torch.where(
                beam.spoke(symbols.blank)[..., None], own.gather(2, place), gains.gather(2, place)
            )
            gains = gains.scatter(2, place, repeated)
        return gains

    def _keep_best(
        self, state: TransducerState, symbols: SymbolStates, every: Tensor, inside: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Keeps the best of all (B, H, V + 1); returns who emitted a label, who moved (B, H')."""
        beam, (width, size) = state.beam, every.shape[1:]
        best, places = every.flatten(1).topk(min(self.beam_size, width * size), dim=1)
        parents = torch.div(places, size, rounding_mode="floor")  # (B, H')
        chosen = places % size  # (B, H')
        last, moved = beam.last.gather(1, parents), inside.gather(1, parents)
        emitted = (chosen < size - 1) & (best > IMPOSSIBLE / 2)
        if symbols.repeats:
            emitted &= chosen != last
        state.labels.advance(parents, chosen, emitted)
        with state.parts.timed(self.frames):
            symbols.advance(parents, chosen, emitted)
        state.beam = beam.moved(parents, chosen, emitted, best)
        state.beam.last = torch.where(moved, chosen, last)
        return emitted, moved

    def _recombine(self, beam: Beam, inside: Tensor, symbols: SymbolStates) -> None:
        """Joins hypotheses with one string and one future."""
        keys = beam.keys(symbols.blank if symbols.repeats else None)
        keys = keys * MULTIPLIER + inside.long()
        beam.recombine(keys, add=self.recombination == "sum")


class SymbolStates:
    """What a transducer says of a beam of B x H label strings; moves where labels are emitted.

    Args:
        scorer: The transducer's, of the first frames; replaced by that of the next ones.
    """

    def __init__(self, scorer: SymbolScorer) -> None:
        self.scorer = scorer
        self.state = scorer.initial_state()
        self.num_utterances, self.width = len(scorer.lengths), 1
        self.repeats = scorer.topology.labels_repeat

    @property
    def blank(self) -> int:
        """V."""
        return self.scorer.blank

    def enter(self, beam: Beam, frame: int) -> None:
        """Moves into a frame."""
        last = torch.where(beam.last < 0, self.blank, beam.last)  # (B, H)
        self.state = self.scorer.enter(self.state, last.flatten(), frame)

    def score(self, frame: int) -> Tensor:
        """Returns log-probabilities (B, H, V + 1) of a frame's symbols."""
        scores = self.scorer.score(self.state, frame)
        return scores.view(self.num_utterances, -1, scores.shape[1])

    def advance(self, parents: Tensor, labels: Tensor, emitted: Tensor) -> None:
        """Moves to a beam (B, H'): the hypothesis that each continues, and any label it emitted."""
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
    """Returns the gains (B, H, V + 1) of what stays as it is: as if a blank cost nothing."""
    stay = torch.full_like(gains, IMPOSSIBLE)
    stay[..., -1] = 0.0
    return stay
