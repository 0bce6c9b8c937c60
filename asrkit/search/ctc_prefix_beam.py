"""Time-synchronous CTC prefix beam search, summing alignments, over many utterances at once."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from asrkit.scorers.entries import Scorer
from asrkit.scorers.interfaces import IMPOSSIBLE, EncodedFrames, Hypothesis, ScoringHead
from asrkit.search.beam import MULTIPLIER
from asrkit.search.frame_search import FrameSearch, beam_of_beginnings
from asrkit.search.label_states import LabelStates
from asrkit.search.search import Search, searches


@searches.register("ctc_prefix_beam")
class CtcPrefixBeamSearch(FrameSearch):
    """Follows the most probable label strings frame by frame.

    A string's score is the weighted log-probability of all its alignments so far, plus what the
    label scorers say of its labels: with a wide beam the same as label-synchronous search.

    Args:
        beam_size: Strings kept per utterance.
        scorers: Weight, or more, of each scorer by name; among them the frames' one.
        frames: Which of the scorers gives the frames' symbols.
        symbols: Labels per frame that may extend a string; all where null.
        eos: Whether label scorers score the end of the sentence after the last frame.

    Raises:
        ValueError: If the frames' scorer is missing, or the beam is empty.

    Source: Hannun et al. 2014, algorithm 1; any label scorers in place of a word model.
    """

    def __init__(
        self,
        beam_size: int,
        scorers: Mapping[str, float | Scorer] = {"ctc": 1.0},  # noqa: B006 - never changed
        frames: str = "ctc",
        symbols: int | None = None,
        eos: bool = True,
    ) -> None:
        super().__init__(scorers, beam_size, frames)
        self.symbols, self.eos = symbols, eos

    def run(
        self, heads: Mapping[str, ScoringHead], encoded: EncodedFrames
    ) -> list[list[Hypothesis]]:
        """Returns an n-best list per utterance, best first."""
        with self.timed(self.frames):
            scorer = self.head(heads, self.frames).frame_scorer(encoded)
        beam = self._start(scorer.log_probs)
        states = self.label_states(heads, encoded, scorer.log_probs[:, 0])
        first = torch.zeros_like(beam.last)
        states.advance(first, first, first > 0)  # one string becomes a beam of them
        for frame in range(scorer.log_probs.shape[1]):
            going = frame < scorer.lengths
            moved = self._step(beam, states, scorer.log_probs[:, frame], going)
            beam = moved.where(going, beam)
        return self._n_best(beam, states)

    def without_pruning(self, num_labels: int) -> Search:
        """Returns a copy that looks at all labels, with a beam for all beginnings of a sequence."""
        alike = copy(self)
        alike.beam_size, alike.symbols = beam_of_beginnings(num_labels), None
        return alike

    def _start(self, log_probs: Tensor) -> _Prefixes:
        size = (log_probs.shape[0], self.beam_size)
        ends = log_probs.new_full(size, IMPOSSIBLE)
        ends[:, 0] = 0.0
        zeros = torch.zeros(size, dtype=torch.int64, device=log_probs.device)
        # Rows that hold no string have hashes of their own, so that they never merge.
        unused = torch.arange(self.beam_size, device=log_probs.device).expand(size) * -7919
        none = torch.full_like(ends, IMPOSSIBLE)
        empty = torch.zeros(*size, 0, dtype=torch.int64, device=log_probs.device)
        return _Prefixes(ends, none, zeros - 1, unused.clone(), empty, zeros)

    def _step(
        self, beam: _Prefixes, states: LabelStates, log_probs: Tensor, going: Tensor
    ) -> _Prefixes:
        """Moves all strings over one frame: log_probs (B, V + 1); ended utterances (B,) stay."""
        blank, labels = log_probs[:, -1:], log_probs[:, :-1]
        scores, ids = self._symbols(labels)  # (B, S)
        total = torch.logaddexp(beam.blank, beam.label)  # (B, K)
        own = labels.gather(1, beam.last.clamp(min=0))
        stay_blank = total + blank
        stay_label = (beam.label + own).masked_fill(beam.last < 0, IMPOSSIBLE)
        # A repeated label needs a blank between: only alignments that end in blank extend.
        repeats = ids[:, None] == beam.last[..., None]  # (B, K, S)
        source = torch.where(repeats, beam.blank[..., None], total[..., None])
        extended = source + scores[:, None]
        has_parent, parent = _parents(beam)
        grown_from = torch.where(
            beam.last.gather(1, parent) == beam.last, beam.blank.gather(1, parent),
            total.gather(1, parent),
        )  # fmt: skip
        joined = (grown_from + own).masked_fill(~has_parent, IMPOSSIBLE)
        stay_label = torch.logaddexp(stay_label, joined)
        # What a string of the beam got from its parent is no string of its own.
        doubled = repeats & has_parent[..., None]  # (B, K, S): the child's last label
        owner = torch.zeros_like(doubled, dtype=extended.dtype)
        owner = owner.scatter_add(
            1, parent[..., None].expand_as(doubled), doubled.to(extended.dtype)
        )
        flat = extended.masked_fill(owner > 0, IMPOSSIBLE).flatten(1)
        every = torch.cat([torch.logaddexp(stay_blank, stay_label), flat], dim=1)
        if states.scorers:
            so_far = states.sums @ states.weights  # (B, K)
            wide = ids[:, None].expand(-1, self.beam_size, -1)
            following = so_far[..., None] + states.weighted().gather(2, wide)
            said = torch.cat([so_far, following.flatten(1)], dim=1)
            every = self.weights[self.frames] * every + said
        index = every.topk(self.beam_size, dim=1).indices
        same = torch.arange(self.beam_size, device=index.device)
        index = torch.where(going[:, None], index, same)
        place = (index - self.beam_size).clamp(min=0)
        grown = index >= self.beam_size
        parents = torch.where(grown, torch.div(place, ids.shape[1], rounding_mode="floor"), index)
        states.advance(parents, ids.gather(1, place % ids.shape[1]), grown)
        hashes = beam.hashes[..., None] * MULTIPLIER + ids[:, None] + 1
        return self._gather(beam, index, (stay_blank, stay_label), flat, (hashes, ids))

    def _symbols(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns scores and ids (B, S) of the labels that may extend a string."""
        if self.symbols is not None and self.symbols < labels.shape[1]:
            best = labels.topk(self.symbols, dim=1)
            return best.values, best.indices
        return labels, torch.arange(labels.shape[1], device=labels.device).expand_as(labels)

    def _gather(
        self,
        beam: _Prefixes,
        index: Tensor,
        stay: tuple[Tensor, Tensor],
        flat: Tensor,
        new: tuple[Tensor, Tensor],
    ) -> _Prefixes:
        width, symbols = self.beam_size, new[1].shape[1]
        grown = index >= width
        place = (index - width).clamp(min=0)
        parent = torch.where(grown, torch.div(place, symbols, rounding_mode="floor"), index)
        label = new[1].gather(1, place % symbols)
        blank = torch.cat([stay[0], torch.full_like(flat, IMPOSSIBLE)], dim=1).gather(1, index)
        ends = torch.cat([stay[1], flat], dim=1).gather(1, index)
        last = torch.where(grown, label, beam.last.gather(1, parent))
        hashes = torch.where(
            grown, new[0].flatten(1).gather(1, place), beam.hashes.gather(1, parent)
        )
        sizes = beam.sizes.gather(1, parent)
        history = beam.labels.gather(1, parent[..., None].expand(-1, -1, beam.labels.shape[2]))
        if bool((sizes[grown] >= history.shape[2]).any()):
            history = torch.nn.functional.pad(history, (0, 16))
        if history.shape[2]:
            slot = sizes.clamp(max=history.shape[2] - 1)[..., None]
            written = torch.where(grown[..., None], label[..., None], history.gather(2, slot))
            history = history.scatter(2, slot, written)
        return _Prefixes(blank, ends, last, hashes, history, sizes + grown.long())

    def _n_best(self, beam: _Prefixes, states: LabelStates) -> list[list[Hypothesis]]:
        frames = torch.logaddexp(beam.blank, beam.label)  # (B, K)
        parts = states.sums + states.next[:, :, -1] if self.eos else states.sums
        totals = self.weights[self.frames] * frames + parts @ states.weights
        order = totals.argsort(1, descending=True)
        result = []
        for row in range(len(totals)):
            found = []
            for place in order[row].tolist():
                if float(frames[row, place]) > IMPOSSIBLE / 2:
                    labels = beam.labels[row, place, : int(beam.sizes[row, place])].tolist()
                    scores = dict(zip(states.scorers, parts[row, place].tolist(), strict=True))
                    scores[self.frames] = float(frames[row, place])
                    found.append(Hypothesis(labels, float(totals[row, place]), scores))
            result.append(found)
        return result


def _parents(beam: _Prefixes) -> tuple[Tensor, Tensor]:
    """Returns which strings (B, K) are another of the beam plus a label, and that one's place."""
    children = beam.hashes[:, None] == beam.hashes[..., None] * MULTIPLIER + (
        beam.last[:, None] + 1
    )  # (B, K, K): the row is the parent of the column
    found, parent = (children & (beam.last >= 0)[:, None]).max(1)
    return found, parent


@dataclass
class _Prefixes:
    """Strings of the beam, (B, K): log-probabilities of alignments that end in blank or label."""

    blank: Tensor
    label: Tensor
    last: Tensor
    hashes: Tensor
    labels: Tensor
    sizes: Tensor

    def where(self, going: Tensor, other: _Prefixes) -> _Prefixes:
        """Takes these rows where an utterance goes on (B,), the other's where it has ended."""
        grown = self.labels.shape[2] - other.labels.shape[2]
        padded = torch.nn.functional.pad(other.labels, (0, grown))
        mine, row = going[:, None], going[:, None, None]
        return _Prefixes(
            torch.where(mine, self.blank, other.blank),
            torch.where(mine, self.label, other.label),
            torch.where(mine, self.last, other.last),
            torch.where(mine, self.hashes, other.hashes),
            torch.where(row, self.labels, padded),
            torch.where(mine, self.sizes, other.sizes),
        )
