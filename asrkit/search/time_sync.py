"""Time-synchronous beam search: CTC frame by frame, label scorers where a label is emitted."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Literal

import torch
from torch import Tensor

from asrkit.scorers.entries import Scorer
from asrkit.scorers.interfaces import IMPOSSIBLE, EncodedFrames, Hypothesis
from asrkit.search.beam import Beam, Ended, n_best
from asrkit.search.frame_search import (
    BeamedSearch,
    BeamState,
    Strings,
    beam_of_beginnings,
    first_beam,
)
from asrkit.search.lengths import LengthNorm
from asrkit.search.parts import SearchParts
from asrkit.search.search import Search, searches


@searches.register("time_sync")
class TimeSyncSearch(BeamedSearch[BeamState]):
    """Extends every hypothesis by one symbol per frame: blank, its last label again, or a label.

    A new label scores its weighted log-probability in the frame plus what the label scorers say
    of it; blanks and repetitions only score in the frame. Hypotheses of one label string, or of
    one string of words, are recombined after each frame.

    Args:
        scorers: Weight, or more, of each scorer by name; among them the frames' one.
        beam_size: Hypotheses per utterance.
        frames: Which of the scorers gives the frames' symbols.
        recombination: What becomes of hypotheses with one string: the best stays, they are
            summed, or all stay.
        merge: Whether those of one string are the same whatever their last symbol is, or
            only where that agrees as well; only the second is exact, since a label that follows
            itself needs a blank between.
        scale_blank: Whether the frames' weight holds for blanks and repetitions as well.
        emission_term: Adds log(1 - p(blank) - p(repetition)) to new labels.
        eos: Whether label scorers score the end of the sentence after the last frame.
        length_norm: Exponent e of the division of the final score by (labels + 1)^e.
        strings: Whether those of the same labels have one string, or also those that spell the
            same words with others; what each scorer says is then that of the best one.

    Raises:
        ValueError: If the frames' scorer is missing, or the beam is empty.

    Source: the time-synchronous search of rwth-i6/i6_experiments,
        users/gaudino/experiments/rf_conformer_att_2023 (with the maximum, by label string, and
        blank unscaled); Hori et al. 2017, section 3.2, describe the label-synchronous search.
    """

    def __init__(
        self,
        scorers: Mapping[str, float | Scorer],
        beam_size: int,
        frames: str = "ctc",
        recombination: Literal["max", "sum", "none"] = "max",
        merge: Literal["string", "string_and_symbol"] = "string",
        scale_blank: bool = False,
        emission_term: bool = False,
        eos: bool = True,
        length_norm: float = 0.0,
        strings: Strings = "labels",
    ) -> None:
        super().__init__(scorers, beam_size, frames)
        self.recombination, self.merge = recombination, merge
        self.scale_blank, self.emission_term = scale_blank, emission_term
        self.eos, self.norm, self.strings = eos, LengthNorm(length_norm), strings

    def begin(self, parts: SearchParts, encoded: EncodedFrames) -> BeamState:
        """Returns the state before the first frame."""
        beam = first_beam(parts, encoded, self.strings)
        return BeamState(parts, self.label_states(parts, encoded), beam)

    def step(self, state: BeamState, encoded: EncodedFrames) -> None:
        """Searches the next frames."""
        scores = state.parts.frame_scores(self.frames, encoded)
        log_probs = scores.log_probs.float()  # (B, T, V + 1)
        for frame in range(log_probs.shape[1]):
            state.beam = self._frame(state, log_probs[:, frame], frame < scores.lengths)

    def end(self, state: BeamState) -> list[list[Hypothesis]]:
        """Returns an n-best list per utterance, best first."""
        frames = (self.frames, state.parts.weights[self.frames])
        ended = Ended.of(state.beam, state.labels, frames, self.eos)
        return n_best(ended, self.recombination == "sum", self.norm)

    def without_pruning(self, num_labels: int) -> Search:
        """Returns a copy whose beam holds all beginnings of a sequence, which stay apart."""
        one = self.recombination != "none" and self.merge == "string"
        alike = copy(self)
        alike.beam_size = beam_of_beginnings(num_labels, 1 if one else 2)
        alike.strings = "labels"
        return alike

    def _frame(self, state: BeamState, frame: Tensor, going: Tensor) -> Beam:
        """Returns the beam after a frame (B, V + 1); utterances not going (B,) stay."""
        beam, weight = state.beam, state.parts.weights[self.frames]
        scores = self._extended(beam, state.labels.weighted(), frame, weight)  # (B, H, V + 1)
        width, symbols = scores.shape[1:]
        stay = torch.full_like(scores, IMPOSSIBLE)
        stay[:, :, -1] = beam.totals  # as if a blank had come that costs nothing
        scores = torch.where(going[:, None, None], scores, stay)
        best, places = scores.flatten(1).topk(min(self.beam_size, width * symbols), dim=1)
        parents = torch.div(places, symbols, rounding_mode="floor")  # (B, H')
        chosen = places % symbols  # (B, H')
        last = beam.last.gather(1, parents)
        emitted = (chosen < symbols - 1) & (chosen != last) & (best > IMPOSSIBLE / 2)
        state.labels.advance(parents, chosen, emitted)
        moved = beam.moved(parents, chosen, emitted, best)
        added = self._unscaled(beam, frame, parents, chosen, emitted)
        moved.rest = moved.rest + added.masked_fill(~going[:, None], 0.0)
        moved.last = torch.where(going[:, None], chosen, last)
        return self._recombined(moved, blank=symbols - 1)

    def _extended(self, beam: Beam, labels: Tensor, frame: Tensor, weight: float) -> Tensor:
        """Returns the totals (B, H, V + 1) of all hypotheses after all symbols."""
        quiet = weight if self.scale_blank else 1.0
        rows = torch.arange(len(frame), device=frame.device)[:, None]
        repeated = frame[rows, beam.last.clamp(min=0)]  # (B, H)
        gains = weight * frame[:, None] + labels  # (B, H, V + 1)
        if self.emission_term:
            gains = gains + _emission(beam, frame)[..., None]
        spoke = beam.spoke(frame.shape[1] - 1)  # (B, H)
        gains[:, :, -1] = quiet * frame[:, -1:]
        places = beam.last.clamp(min=0)[..., None]
        repetition = torch.where(spoke, quiet * repeated, gains.gather(2, places)[..., 0])
        gains = gains.scatter(2, places, repetition[..., None])
        return (beam.totals[..., None] + gains).clamp(min=IMPOSSIBLE)

    def _unscaled(
        self, beam: Beam, frame: Tensor, parents: Tensor, chosen: Tensor, emitted: Tensor
    ) -> Tensor:
        """Returns what chosen symbols (B, H') added to their parents that no weight scales."""
        quiet = torch.zeros_like(frame) if self.scale_blank else frame
        new = _emission(beam, frame) if self.emission_term else torch.zeros_like(beam.totals)
        return torch.where(emitted, new.gather(1, parents), quiet.gather(1, chosen))

    def _recombined(self, beam: Beam, blank: int) -> Beam:
        """Keeps one hypothesis of each string."""
        if self.recombination == "none":
            return beam
        keys = beam.keys(blank if self.merge == "string_and_symbol" else None)
        beam.recombine(keys, add=self.recombination == "sum")
        return beam


def _emission(beam: Beam, frame: Tensor) -> Tensor:
    """Returns log(1 - p(blank) - p(repetition)) of each hypothesis (B, H)."""
    repeated = frame.gather(1, beam.last.clamp(min=0))
    said = frame[:, -1:].exp() + torch.where(beam.spoke(frame.shape[1] - 1), repeated.exp(), 0.0)
    return (1 - said).clamp(min=1e-20).log()
