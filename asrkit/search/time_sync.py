"""Time-synchronous beam search: CTC frame by frame, label scorers where a label is emitted."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Literal

import torch
from torch import Tensor

from asrkit.scorers.entries import Scorer
from asrkit.scorers.interfaces import IMPOSSIBLE, EncodedFrames, Hypothesis, ScoringHead
from asrkit.search.beam import MULTIPLIER, Beam, n_best
from asrkit.search.frame_search import FrameSearch, beam_of_beginnings
from asrkit.search.label_states import LabelStates
from asrkit.search.search import Search, searches


@searches.register("time_sync")
class TimeSyncSearch(FrameSearch):
    """Extends every hypothesis by one symbol per frame: blank, its last label again, or a label.

    A new label scores its weighted log-probability in the frame plus what the label scorers say
    of it; blanks and repetitions score in the frame alone. Hypotheses of one label string are
    recombined after each frame.

    Args:
        scorers: Weight, or more, of each scorer by name; among them the frames' one.
        beam_size: Hypotheses per utterance.
        frames: Which of the scorers gives the frames' symbols.
        recombination: What becomes of hypotheses with one label string: the best stays, they are
            summed, or all stay.
        merge: Whether those of one label string are the same whatever their last symbol is, or
            only where that agrees as well; only the second is exact, since a label that follows
            itself needs a blank between.
        scale_blank: Whether the frames' weight holds for blanks and repetitions as well.
        emission_term: Adds log(1 - p(blank) - p(repetition)) to new labels.
        eos: Whether label scorers score the end of the sentence after the last frame.
        length_norm: Exponent e of the division of the final score by (labels + 1)^e.

    Raises:
        ValueError: If the frames' scorer is missing, or the beam is empty.

    Source: the time-synchronous search of the reference system for joint search (published: max,
        by label string, blank unscaled); Hori et al. 2017, section 3.2, does it label by label.
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
    ) -> None:
        super().__init__(scorers, beam_size, frames)
        self.recombination, self.merge = recombination, merge
        self.scale_blank, self.emission_term = scale_blank, emission_term
        self.eos, self.length_norm = eos, length_norm

    def run(
        self, heads: Mapping[str, ScoringHead], encoded: EncodedFrames
    ) -> list[list[Hypothesis]]:
        """Returns an n-best list per utterance, best first."""
        with self.timed(self.frames):
            scorer = self.head(heads, self.frames).frame_scorer(encoded)
        log_probs = scorer.log_probs.float()
        states = self.label_states(heads, encoded, log_probs[:, 0])
        beam = Beam.first(log_probs)
        for frame in range(log_probs.shape[1]):
            beam = self._step(beam, states, log_probs[:, frame], frame < scorer.lengths)
        frames = (self.frames, self.weights[self.frames])
        add = self.recombination == "sum"
        return n_best(beam, states, frames, self.eos, add, self.length_norm)

    def without_pruning(self, num_labels: int) -> Search:
        """Returns a copy whose beam holds all beginnings of a sequence."""
        one = self.recombination != "none" and self.merge == "string"
        alike = copy(self)
        alike.beam_size = beam_of_beginnings(num_labels, 1 if one else 2)
        return alike

    def _step(self, beam: Beam, states: LabelStates, frame: Tensor, going: Tensor) -> Beam:
        """Moves the beam over one frame (B, V + 1); utterances that have ended stay."""
        scores = self._extended(beam, states.weighted(), frame)  # (B, K, V + 1)
        width, symbols = scores.shape[1:]
        stay = torch.full_like(scores, IMPOSSIBLE)
        stay[:, :, -1] = beam.totals  # as if a blank had come that costs nothing
        scores = torch.where(going[:, None, None], scores, stay)
        best, places = scores.flatten(1).topk(min(self.beam_size, width * symbols), dim=1)
        parents = torch.div(places, symbols, rounding_mode="floor")
        chosen = places % symbols
        last = beam.last.gather(1, parents)
        emitted = (chosen < symbols - 1) & (chosen != last) & (best > IMPOSSIBLE / 2)
        states.advance(parents, chosen, emitted)
        moved = beam.moved(parents, chosen, emitted, best)
        added = self._unscaled(beam, frame, parents, chosen, emitted)
        moved.rest = moved.rest + added.masked_fill(~going[:, None], 0.0)
        moved.last = torch.where(going[:, None], chosen, last)
        return self._recombined(moved)

    def _extended(self, beam: Beam, labels: Tensor, frame: Tensor) -> Tensor:
        """Returns the totals (B, K, V + 1) of all hypotheses after all symbols."""
        weight = self.weights[self.frames]
        quiet = weight if self.scale_blank else 1.0
        rows = torch.arange(len(frame), device=frame.device)[:, None]
        repeated = frame[rows, beam.last.clamp(min=0)]  # (B, K)
        gains = weight * frame[:, None] + labels
        if self.emission_term:
            gains = gains + _emission(beam, frame)[..., None]
        gains[:, :, -1] = quiet * frame[:, -1:]
        places = beam.last.clamp(min=0)[..., None]
        repetition = torch.where(beam.spoke, quiet * repeated, gains.gather(2, places)[..., 0])
        gains = gains.scatter(2, places, repetition[..., None])
        return (beam.totals[..., None] + gains).clamp(min=IMPOSSIBLE)

    def _unscaled(
        self, beam: Beam, frame: Tensor, parents: Tensor, chosen: Tensor, emitted: Tensor
    ) -> Tensor:
        """Returns what chosen symbols (B, K') added to their parents that no weight scales."""
        quiet = torch.zeros_like(frame) if self.scale_blank else frame
        new = _emission(beam, frame) if self.emission_term else torch.zeros_like(beam.totals)
        return torch.where(emitted, new.gather(1, parents), quiet.gather(1, chosen))

    def _recombined(self, beam: Beam) -> Beam:
        """Keeps one hypothesis of each label string."""
        if self.recombination == "none":
            return beam
        keys = beam.hashes
        if self.merge == "string_and_symbol":
            keys = keys * MULTIPLIER + beam.spoke.long()
        beam.recombine(keys, add=self.recombination == "sum")
        return beam


def _emission(beam: Beam, frame: Tensor) -> Tensor:
    """Returns log(1 - p(blank) - p(repetition)) of each hypothesis (B, K)."""
    repeated = frame.gather(1, beam.last.clamp(min=0))
    said = frame[:, -1:].exp() + torch.where(beam.spoke, repeated.exp(), 0.0)
    return (1 - said).clamp(min=1e-20).log()
