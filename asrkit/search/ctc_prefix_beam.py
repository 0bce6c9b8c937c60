"""Time-synchronous CTC prefix beam search, summing alignments, over many utterances at once."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from asrkit.scorers.entries import Scorer
from asrkit.scorers.interfaces import IMPOSSIBLE, EncodedFrames, Hypothesis
from asrkit.search.beam import Beam, Ended, n_best
from asrkit.search.frame_search import BeamedSearch, BeamState, beam_of_beginnings
from asrkit.search.parts import SearchParts
from asrkit.search.search import Search, searches
from asrkit.search.word_strings import MULTIPLIER


@dataclass
class PrefixState(BeamState):
    """Where a prefix beam search is; `last` in its beam is the last label of a string, or -1.

    Args:
        parts: What it works with.
        labels: What label scorers say of the strings.
        beam: The strings, whose totals nothing reads.
        blank: (B, H) log-probability of a string's alignments that end in blank.
        label: (B, H) of those that end in its last label.
    """

    blank: Tensor
    label: Tensor


@searches.register("ctc_prefix_beam")
class CtcPrefixBeamSearch(BeamedSearch[PrefixState]):
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

    def begin(self, parts: SearchParts, encoded: EncodedFrames) -> PrefixState:
        """Returns the state before the first frame."""
        labels = self.label_states(parts, encoded)
        beam = Beam.first(encoded.lengths, self.beam_size)
        first = torch.zeros_like(beam.last)
        labels.advance(first, first, first > 0)  # one string becomes a beam of them
        none = torch.full_like(beam.totals, IMPOSSIBLE)
        return PrefixState(parts, labels, beam, blank=beam.totals, label=none)

    def step(self, state: PrefixState, encoded: EncodedFrames) -> None:
        """Searches the next frames."""
        scores = state.parts.frame_scores(self.frames, encoded)
        for frame in range(scores.log_probs.shape[1]):
            self._frame(state, scores.log_probs[:, frame], frame < scores.lengths)

    def end(self, state: PrefixState) -> list[list[Hypothesis]]:
        """Returns an n-best list per utterance, best first."""
        frames = torch.logaddexp(state.blank, state.label)  # (B, H)
        labels = state.labels
        parts = labels.sums + labels.next[:, :, -1] if self.eos else labels.sums  # (B, H, S)
        totals = state.parts.weights[self.frames] * frames + parts @ labels.weights  # (B, H)
        totals = totals.masked_fill(frames <= IMPOSSIBLE / 2, IMPOSSIBLE)

        def frame_score(row: int, place: int, total: float) -> float:
            return float(frames[row, place])

        names = list(labels.scorers)
        ended = Ended(state.beam, totals, parts, names, self.frames, frame_score)
        return n_best(ended, add=False)

    def without_pruning(self, num_labels: int) -> Search:
        """Returns a copy that looks at all labels, with a beam for all beginnings of a sequence."""
        alike = copy(self)
        alike.beam_size, alike.symbols = beam_of_beginnings(num_labels), None
        return alike

    def _frame(self, state: PrefixState, log_probs: Tensor, going: Tensor) -> None:
        """Moves all strings over a frame (B, V + 1); utterances not going (B,) stay."""
        beam, blank, labels = state.beam, log_probs[:, -1:], log_probs[:, :-1]
        scores, ids = self._symbols(labels)  # (B, C)
        total = torch.logaddexp(state.blank, state.label)  # (B, H)
        stay_blank, stay_label, has_parent, parent = _staying(state, total, blank, labels)
        # A repeated label needs a blank between: only alignments that end in blank extend.
        repeats = ids[:, None] == beam.last[..., None]  # (B, H, C)
        source = torch.where(repeats, state.blank[..., None], total[..., None])
        extended = source + scores[:, None]  # (B, H, C)
        # A string of the beam that is extended from its parent is not a new string.
        doubled = repeats & has_parent[..., None]  # (B, H, C): the child's last label
        owner = torch.zeros_like(doubled, dtype=extended.dtype)
        owner = owner.scatter_add(
            1, parent[..., None].expand_as(doubled), doubled.to(extended.dtype)
        )
        grown = extended.masked_fill(owner > 0, IMPOSSIBLE).flatten(1)  # (B, H * C)
        every = torch.cat([torch.logaddexp(stay_blank, stay_label), grown], dim=1)
        index = self._ranked(state, every, ids).topk(self.beam_size, dim=1).indices  # (B, H)
        same = torch.arange(self.beam_size, device=index.device)
        index = torch.where(going[:, None], index, same)
        self._keep(state, index, ids)
        none = torch.full_like(grown, IMPOSSIBLE)
        ends_blank = torch.cat([stay_blank, none], dim=1).gather(1, index)  # (B, H)
        ends_label = torch.cat([stay_label, grown], dim=1).gather(1, index)  # (B, H)
        state.blank = torch.where(going[:, None], ends_blank, state.blank)
        state.label = torch.where(going[:, None], ends_label, state.label)

    def _ranked(self, state: PrefixState, every: Tensor, ids: Tensor) -> Tensor:
        """Returns what all are ranked by (B, H + H * C): strings that stay, and those that grow.

        Args:
            state: The strings.
            every: (B, H + H * C) their log-probabilities by the frames.
            ids: (B, C) the labels by which they grow.
        """
        labels = state.labels
        if not labels.scorers:
            return every
        so_far = labels.sums @ labels.weights  # (B, H)
        wide = ids[:, None].expand(-1, self.beam_size, -1)  # (B, H, C)
        following = so_far[..., None] + labels.weighted().gather(2, wide)
        said = torch.cat([so_far, following.flatten(1)], dim=1)
        return state.parts.weights[self.frames] * every + said

    def _keep(self, state: PrefixState, index: Tensor, ids: Tensor) -> None:
        """Makes the chosen ones (B, H) of all that stay and grow the beam."""
        beam, width = state.beam, self.beam_size
        grown = index >= width
        place = (index - width).clamp(min=0)
        parents = torch.where(grown, torch.div(place, ids.shape[1], rounding_mode="floor"), index)
        taken = ids.gather(1, place % ids.shape[1])  # (B, H)
        state.labels.advance(parents, taken, grown)
        state.beam = beam.moved(parents, taken, grown, beam.totals)
        state.beam.last = torch.where(grown, taken, beam.last.gather(1, parents))

    def _symbols(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns scores and ids (B, C) of the labels that may extend a string."""
        if self.symbols is not None and self.symbols < labels.shape[1]:
            best = labels.topk(self.symbols, dim=1)
            return best.values, best.indices
        return labels, torch.arange(labels.shape[1], device=labels.device).expand_as(labels)


def _staying(
    state: PrefixState, total: Tensor, blank: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the log-probabilities of the same strings a frame later, and their parents.

    Args:
        state: The strings.
        total: (B, H) their log-probabilities.
        blank: (B, 1) that of blank in the frame.
        labels: (B, V) those of labels.

    Returns:
        (B, H) each: what ends in blank, what ends in the last label, whether another string of the
        beam is the string without that label, and which one.
    """
    last = state.beam.last
    own = labels.gather(1, last.clamp(min=0))  # (B, H)
    stay_label = (state.label + own).masked_fill(last < 0, IMPOSSIBLE)
    has_parent, parent = _parents(state.beam)
    grown_from = torch.where(
        last.gather(1, parent) == last, state.blank.gather(1, parent), total.gather(1, parent)
    )
    joined = (grown_from + own).masked_fill(~has_parent, IMPOSSIBLE)
    return total + blank, torch.logaddexp(stay_label, joined), has_parent, parent


def _parents(beam: Beam) -> tuple[Tensor, Tensor]:
    """Returns which strings (B, H) are another of the beam plus a label, and that one's place."""
    children = beam.hashes[:, None] == beam.hashes[..., None] * MULTIPLIER + (
        beam.last[:, None] + 1
    )  # (B, H, H): the row is the parent of the column
    found, parent = (children & (beam.last >= 0)[:, None]).max(1)
    return found, parent
