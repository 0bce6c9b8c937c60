"""The hypotheses of a search over frames, all utterances' together, and the n-best list at its end.

A hypothesis is one alignment, or the sum of several, of a label string with the frames so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from asrkit.scorers.interfaces import IMPOSSIBLE, Hypothesis
from asrkit.search.label_states import LabelStates
from asrkit.search.lengths import UNCHANGED, LengthNorm
from asrkit.search.word_strings import MULTIPLIER, WordStrings

UNUSED = -7919
"""Factor of the hashes of rows that hold no string."""


@dataclass
class Beam:
    """Hypotheses of the utterances, best first.

    Args:
        totals: (B, H) what they are ranked by; IMPOSSIBLE where there is none.
        last: (B, H) the symbol of the last frame: a label, V for blank, or -1 at the start.
        hashes: (B, H) of their labels.
        labels: (B, H, U).
        sizes: (B, H) how many labels.
        rest: (B, H) the part of the totals that no weight scales.
        strings: Tells words apart, where hypotheses of the same words are the same; else those of
            the same labels are.
        words: (B, H, 2) what they spell, in that case.
    """

    totals: Tensor
    last: Tensor
    hashes: Tensor
    labels: Tensor
    sizes: Tensor
    rest: Tensor
    strings: WordStrings | None = None
    words: Tensor | None = None

    @classmethod
    def first(cls, lengths: Tensor, width: int = 1, strings: WordStrings | None = None) -> Beam:
        """Returns the empty hypothesis of each utterance, and `width` - 1 rows that hold none.

        Args:
            lengths: (B,) any integers, for their number and device.
            width: H.
            strings: Tells words apart, where hypotheses of the same words are the same.
        """
        zeros = lengths.new_zeros(len(lengths), width, dtype=torch.int64)
        totals = torch.zeros_like(zeros, dtype=torch.float32)
        totals[:, 1:] = IMPOSSIBLE
        # Rows that hold no string have hashes of their own, so that they never merge.
        hashes = torch.arange(width, device=zeros.device).expand_as(zeros) * UNUSED
        labels = zeros.new_zeros(len(lengths), width, 0)
        words = None if strings is None else strings.first(zeros)
        rest = torch.zeros_like(totals)
        return cls(totals, zeros - 1, hashes, labels, zeros, rest, strings, words)

    def spoke(self, blank: int) -> Tensor:
        """Returns whether the last symbol was a label (B, H), where V is `blank`."""
        return (self.last >= 0) & (self.last < blank)

    def keys(self, blank: int | None = None) -> Tensor:
        """Returns numbers (B, H) that are the same where labels are, or the words they spell.

        Args:
            blank: V. If given, the numbers differ also where the last label may not be said again
                without a blank between: after labels, and if these may differ, after other ones.
        """
        keys, spoken = self.hashes, torch.ones_like(self.hashes)
        if self.strings is not None and self.words is not None:
            keys, spoken = self.strings.keys(self.words), self.last + 1
        return keys if blank is None else keys * MULTIPLIER + spoken * self.spoke(blank)

    @property
    def alive(self) -> Tensor:
        """(B, H): whether there is such a hypothesis at all."""
        return self.totals > IMPOSSIBLE / 2

    def moved(self, parents: Tensor, symbols: Tensor, emitted: Tensor, totals: Tensor) -> Beam:
        """Returns the hypotheses after one more symbol each.

        Args:
            parents: (B, H') which hypothesis each new one continues.
            symbols: (B, H') its symbol.
            emitted: (B, H') whether that is a new label.
            totals: (B, H') what they are ranked by.
        """
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
        rest = self.rest.gather(1, parents)
        words, sizes = self._words_after(parents, symbols, emitted), sizes + emitted.long()
        return Beam(totals, symbols, hashes, labels, sizes, rest, self.strings, words)

    def _words_after(self, parents: Tensor, symbols: Tensor, emitted: Tensor) -> Tensor | None:
        """Returns what hypotheses spell (B, H', 2) after one more symbol each, as for `moved`."""
        if self.strings is None or self.words is None:
            return None
        words = self.words.gather(1, parents[..., None].expand(-1, -1, 2))
        longer = self.strings.after(words, symbols.masked_fill(~emitted, 0))
        return torch.where(emitted[..., None], longer, words)

    def take_shared(self) -> list[list[int]]:
        """Returns the first labels of each utterance that all its hypotheses share.

        They are no longer among the labels of the hypotheses, whose hashes still know of them.
        """
        alive, best = self.alive, self.labels[:, :1]  # (B, H), (B, 1, U)
        places = torch.arange(self.labels.shape[2], device=self.labels.device)
        same = (self.labels == best) & (places < self.sizes[..., None])  # (B, H, U)
        shared = (same | ~alive[..., None]).all(1).long().cumprod(1).sum(1)  # (B,)
        taken = [
            row[:count] for row, count in zip(best[:, 0].tolist(), shared.tolist(), strict=True)
        ]
        self.sizes = (self.sizes - shared[:, None]).clamp(min=0)
        most = int(self.sizes.max())
        moved = (places[:most] + shared[:, None]).clamp(max=max(self.labels.shape[2] - 1, 0))
        index = moved[:, None].expand(-1, self.labels.shape[1], -1)  # (B, H, U')
        self.labels = self.labels.gather(2, index)
        return taken

    def recombine(self, keys: Tensor, add: bool) -> None:
        """Leaves the best hypothesis of those with one key (B, H), which gets their sum if add."""
        self.totals = recombined(self.totals, keys, add)


def recombined(totals: Tensor, keys: Tensor, add: bool) -> Tensor:
    """Returns totals (B, H), best first, in which only the best with each key (B, H) is possible.

    Args:
        totals: What hypotheses are ranked by.
        keys: The same for those that are to become one.
        add: Whether that one gets the sum of them all.
    """
    same = keys[:, :, None] == keys[:, None]  # (B, H, H)
    earlier = same.tril(-1).any(2)  # they are sorted: an earlier one is better
    if add:
        spread = totals[:, None].expand_as(same).masked_fill(~same, IMPOSSIBLE)
        totals = spread.logsumexp(2)
    return totals.masked_fill(earlier, IMPOSSIBLE)


@dataclass(frozen=True)
class Ended:
    """Hypotheses after the last frame.

    Args:
        beam: The hypotheses.
        totals: (B, H) what they are ranked by, the end of the sentence included.
        parts: (B, H, S) the scores of label scorers, likewise.
        scorers: Their names.
        frames: Name of what scored the frames.
        frame_score: Its own score, given utterance, place in the beam and total.
    """

    beam: Beam
    totals: Tensor
    parts: Tensor
    scorers: Sequence[str]
    frames: str
    frame_score: Callable[[int, int, float], float]

    @classmethod
    def of(cls, beam: Beam, states: LabelStates, frames: tuple[str, float], eos: bool) -> Ended:
        """Returns the hypotheses of a beam whose totals hold the scores of frames and labels.

        Args:
            beam: The hypotheses.
            states: What label scorers say of them.
            frames: Name and weight of what scored the frames.
            eos: Whether label scorers score the end of the sentence.
        """
        parts, totals = states.sums, beam.totals
        if eos:
            parts, totals = parts + states.next[:, :, -1], totals + states.weighted()[:, :, -1]
        labelled = parts @ states.weights  # (B, H)

        def frame_score(row: int, place: int, total: float) -> float:
            heard = total - float(labelled[row, place]) - float(beam.rest[row, place])
            return heard / frames[1]

        return cls(beam, totals, parts, list(states.scorers), frames[0], frame_score)


def n_best(ended: Ended, add: bool, norm: LengthNorm = UNCHANGED) -> list[list[Hypothesis]]:
    """Returns the n-best lists, best first; hypotheses of one string become one.

    Args:
        ended: The hypotheses after the last frame.
        add: Whether hypotheses of one string, of labels or words, are summed; else the best one
            counts.
        norm: What final scores are divided by.
    """
    result = []
    for row in range(len(ended.totals)):
        hypotheses = []
        for labels, (total, place) in _by_string(ended.beam, ended.totals, row, add):
            scores = dict(zip(ended.scorers, ended.parts[row, place].tolist(), strict=True))
            scores[ended.frames] = ended.frame_score(row, place, total)
            score = total / norm.divisor(len(labels))
            hypotheses.append(Hypothesis(labels, score, scores))
        result.append(sorted(hypotheses, key=lambda h: -h.score))
    return result


def _by_string(
    beam: Beam, totals: Tensor, row: int, add: bool
) -> list[tuple[list[int], tuple[float, int]]]:
    """Returns labels, total and place of the best hypothesis of each string of an utterance."""

    def labels(place: int) -> list[int]:
        size = int(beam.sizes[row, place])
        return [*map(int, beam.labels[row, place, :size])]

    found: dict[tuple[int, ...] | int, tuple[float, int]] = {}
    for place in totals[row].argsort(descending=True).tolist():
        total = float(totals[row, place])
        if total <= IMPOSSIBLE / 2:
            continue
        # Of words the hash alone: no letter follows that would tell whether the last has ended.
        string = tuple(labels(place)) if beam.words is None else int(beam.words[row, place, 0])
        if string not in found:
            found[string] = (total, place)
        elif add:
            before, best = found[string]
            found[string] = (before + math.log1p(math.exp(total - before)), best)
    return [(labels(place), (total, place)) for total, place in found.values()]
