"""Time-synchronous beam search: CTC frame by frame, label scorers where a label is emitted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from asrkit.decoding.interfaces import EncodedFrames, Hypothesis, ScoringHead
from asrkit.decoding.label_states import LabelStates
from asrkit.decoding.scorers import Scorer
from asrkit.decoding.search import Search, searches

IMPOSSIBLE = -1e30
MULTIPLIER = 6364136223846793005
"""Of the polynomial hash (modulo 2^64) that tells label strings apart."""


@searches.register("time_sync")
class TimeSyncSearch(Search):
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

    can_be_forced = True

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
        super().__init__(scorers)
        if frames not in self.weights:
            names = ", ".join(self.weights)
            raise ValueError(f"frames ({frames}) must be one of the scorers with a weight: {names}")
        if beam_size < 1:
            raise ValueError(f"beam_size ({beam_size}) must be at least 1")
        self.beam_size, self.frames = beam_size, frames
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
        labels = [name for name in self.weights if name != self.frames]
        states = LabelStates(
            {name: self.head(heads, name).label_scorer(encoded) for name in labels},
            self.weights,
            log_probs[:, 0],
            self.timed,
        )
        beam = _Beam.first(log_probs)
        for frame in range(log_probs.shape[1]):
            beam = self._step(beam, states, log_probs[:, frame], frame < scorer.lengths)
        return self._n_best(beam, states)

    def _step(self, beam: _Beam, states: LabelStates, frame: Tensor, going: Tensor) -> _Beam:
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
        moved.last = torch.where(going[:, None], chosen, last)
        return self._recombined(moved)

    def _extended(self, beam: _Beam, labels: Tensor, frame: Tensor) -> Tensor:
        """Returns the totals (B, K, V + 1) of all hypotheses after all symbols."""
        weight = self.weights[self.frames]
        quiet = weight if self.scale_blank else 1.0
        rows = torch.arange(len(frame), device=frame.device)[:, None]
        repeated = frame[rows, beam.last.clamp(min=0)]  # (B, K)
        gains = weight * frame[:, None] + labels
        if self.emission_term:
            said = frame[:, -1:].exp() + torch.where(beam.spoke, repeated.exp(), 0.0)
            gains = gains + (1 - said).clamp(min=1e-20).log()[..., None]
        gains[:, :, -1] = quiet * frame[:, -1:]
        places = beam.last.clamp(min=0)[..., None]
        repetition = torch.where(beam.spoke, quiet * repeated, gains.gather(2, places)[..., 0])
        gains = gains.scatter(2, places, repetition[..., None])
        return (beam.totals[..., None] + gains).clamp(min=IMPOSSIBLE)

    def _recombined(self, beam: _Beam) -> _Beam:
        """Keeps one hypothesis of each label string."""
        if self.recombination == "none":
            return beam
        keys = beam.hashes
        if self.merge == "string_and_symbol":
            keys = keys * MULTIPLIER + beam.spoke.long()
        same = keys[:, :, None] == keys[:, None]  # (B, K, K)
        earlier = same.tril(-1).any(2)  # beams are sorted: an earlier one is better
        totals = beam.totals
        if self.recombination == "sum":
            spread = totals[:, None].expand_as(same).masked_fill(~same, IMPOSSIBLE)
            totals = spread.logsumexp(2)
        beam.totals = totals.masked_fill(earlier, IMPOSSIBLE)
        return beam

    def _n_best(self, beam: _Beam, states: LabelStates) -> list[list[Hypothesis]]:
        parts, totals = states.sums, beam.totals
        if self.eos:
            parts, totals = parts + states.next[:, :, -1], totals + states.weighted()[:, :, -1]
        labelled = parts @ states.weights  # (B, K)
        result = []
        for row in range(len(totals)):
            found: dict[tuple[int, ...], tuple[float, int]] = {}
            for place in totals[row].argsort(descending=True).tolist():
                total = float(totals[row, place])
                labels = tuple(beam.labels[row, place, : int(beam.sizes[row, place])].tolist())
                if total > IMPOSSIBLE / 2:
                    found[labels] = self._merged(found.get(labels), (total, place))
            hypotheses = []
            for labels, (total, place) in found.items():
                scores = dict(zip(states.scorers, parts[row, place].tolist(), strict=True))
                rest = total - float(labelled[row, place])
                scores[self.frames] = rest / self.weights[self.frames]
                score = total / (len(labels) + 1) ** self.length_norm
                hypotheses.append(Hypothesis(list(labels), score, scores))
            result.append(sorted(hypotheses, key=lambda h: -h.score))
        return result

    def _merged(
        self, first: tuple[float, int] | None, second: tuple[float, int]
    ) -> tuple[float, int]:
        """Returns total and place of a label string that was found twice, the better one first."""
        if first is None:
            return second
        if self.recombination == "sum":
            return first[0] + math.log1p(math.exp(second[0] - first[0])), first[1]
        return first


@dataclass
class _Beam:
    """Hypotheses of the utterances, (B, K) each, best first; labels (B, K, U).

    `last` is the symbol of the last frame: a label, V for blank, or -1 at the start.
    """

    totals: Tensor
    last: Tensor
    hashes: Tensor
    labels: Tensor
    sizes: Tensor
    blank: int

    @classmethod
    def first(cls, log_probs: Tensor) -> _Beam:
        """Returns the empty hypothesis of each utterance."""
        size = (len(log_probs), 1)
        zeros = torch.zeros(size, dtype=torch.int64, device=log_probs.device)
        labels = zeros.new_zeros(*size, 0)
        return cls(
            log_probs.new_zeros(size), zeros - 1, zeros, labels, zeros, log_probs.shape[2] - 1
        )

    @property
    def spoke(self) -> Tensor:
        """(B, K): whether the last symbol was a label."""
        return (self.last >= 0) & (self.last < self.blank)

    def moved(self, parents: Tensor, symbols: Tensor, emitted: Tensor, totals: Tensor) -> _Beam:
        """Returns the hypotheses after one more symbol each."""
        hashes = self.hashes.gather(1, parents)
        sizes = self.sizes.gather(1, parents)
        labels = self.labels.gather(1, parents[..., None].expand(-1, -1, self.labels.shape[2]))
        if bool((sizes[emitted] >= labels.shape[2]).any()):
            labels = torch.nn.functional.pad(labels, (0, 16))
        if labels.shape[2]:
            slot = sizes.clamp(max=labels.shape[2] - 1)[..., None]
            written = torch.where(emitted[..., None], symbols[..., None], labels.gather(2, slot))
            labels = labels.scatter(2, slot, written)
        hashes = torch.where(emitted, hashes * MULTIPLIER + symbols + 1, hashes)
        return _Beam(totals, symbols, hashes, labels, sizes + emitted.long(), self.blank)
