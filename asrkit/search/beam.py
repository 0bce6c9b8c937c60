"""The hypotheses of a search over frames, all utterances' together, and the n-best list at its end.

A hypothesis is one alignment, or the sum of several, of a label string with the frames so far.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from asrkit.scorers.interfaces import IMPOSSIBLE, Hypothesis
from asrkit.search.label_states import LabelStates

MULTIPLIER = 6364136223846793005
"""Of the polynomial hash (modulo 2^64) that tells label strings apart."""


@dataclass
class Beam:
    """Hypotheses of the utterances, (B, K) each, best first; labels (B, K, U).

    `last` is the symbol of the last frame: a label, V for blank, or -1 at the start; `rest` the
    part of the totals that no weight scales.
    """

    totals: Tensor
    last: Tensor
    hashes: Tensor
    labels: Tensor
    sizes: Tensor
    blank: int
    rest: Tensor

    @classmethod
    def first(cls, scores: Tensor) -> Beam:
        """Returns the empty hypothesis of each utterance; scores (B, ..., V + 1) give sizes."""
        size = (len(scores), 1)
        zeros = torch.zeros(size, dtype=torch.int64, device=scores.device)
        labels = zeros.new_zeros(*size, 0)
        none, blank = scores.new_zeros(size), scores.shape[-1] - 1
        return cls(none, zeros - 1, zeros, labels, zeros, blank, none)

    @property
    def spoke(self) -> Tensor:
        """(B, K): whether the last symbol was a label."""
        return (self.last >= 0) & (self.last < self.blank)

    @property
    def alive(self) -> Tensor:
        """(B, K): whether there is such a hypothesis at all."""
        return self.totals > IMPOSSIBLE / 2

    def moved(self, parents: Tensor, symbols: Tensor, emitted: Tensor, totals: Tensor) -> Beam:
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
        rest = self.rest.gather(1, parents)
        return Beam(totals, symbols, hashes, labels, sizes + emitted.long(), self.blank, rest)

    def recombine(self, keys: Tensor, add: bool) -> None:
        """Leaves the best hypothesis of those with one key (B, K), which gets their sum if add."""
        same = keys[:, :, None] == keys[:, None]  # (B, K, K)
        earlier = same.tril(-1).any(2)  # beams are sorted: an earlier one is better
        totals = self.totals
        if add:
            spread = totals[:, None].expand_as(same).masked_fill(~same, IMPOSSIBLE)
            totals = spread.logsumexp(2)
        self.totals = totals.masked_fill(earlier, IMPOSSIBLE)


def n_best(
    beam: Beam,
    states: LabelStates,
    frames: tuple[str, float],
    eos: bool,
    add: bool,
    length_norm: float = 0.0,
) -> list[list[Hypothesis]]:
    """Returns the n-best lists, best first; hypotheses of one label string become one.

    Args:
        beam: The hypotheses after the last frame.
        states: What label scorers say of them.
        frames: Name and weight of what scored the frames.
        eos: Whether label scorers score the end of the sentence.
        add: Whether hypotheses of one label string are summed; else the best one counts.
        length_norm: Exponent e of the division of the final score by (labels + 1)^e.
    """
    parts, totals = states.sums, beam.totals
    if eos:
        parts, totals = parts + states.next[:, :, -1], totals + states.weighted()[:, :, -1]
    labelled = parts @ states.weights  # (B, K)
    result = []
    for row in range(len(totals)):
        hypotheses = []
        for labels, (total, place) in _by_string(beam, totals, row, add).items():
            scores = dict(zip(states.scorers, parts[row, place].tolist(), strict=True))
            frame_total = total - float(labelled[row, place]) - float(beam.rest[row, place])
            scores[frames[0]] = frame_total / frames[1]
            score = total / (len(labels) + 1) ** length_norm
            hypotheses.append(Hypothesis(list(labels), score, scores))
        result.append(sorted(hypotheses, key=lambda h: -h.score))
    return result


def _by_string(
    beam: Beam, totals: Tensor, row: int, add: bool
) -> dict[tuple[int, ...], tuple[float, int]]:
    """Returns total and place of each label string of an utterance."""
    found: dict[tuple[int, ...], tuple[float, int]] = {}
    for place in totals[row].argsort(descending=True).tolist():
        total = float(totals[row, place])
        if total <= IMPOSSIBLE / 2:
            continue
        labels = tuple(beam.labels[row, place, : int(beam.sizes[row, place])].tolist())
        if labels not in found:
            found[labels] = (total, place)
        elif add:
            before, best = found[labels]
            found[labels] = (before + math.log1p(math.exp(total - before)), best)
    return found
