"""Label-synchronous beam search with any weighted scorers, over many utterances at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from asrkit.decoding.interfaces import Hypothesis, LabelScorer, State, select
from asrkit.decoding.search import EncodedFrames, ScoringHead, Search, searches

DEAD = -1e20
"""Score of a row that holds no hypothesis; below any real one, above impossible candidates."""


@searches.register("label_sync")
class LabelSyncSearch(Search):
    """Extends every hypothesis by one label at a time; scores are weighted sums over scorers.

    An utterance ends when no live hypothesis can pass its best ended one. Without length
    normalisation and reward, and with weights that are not negative, scores only fall, so this is
    exact; otherwise it ends once `patience` steps brought no better ended hypothesis.

    Args:
        scorers: Weight of each head by name; a weight of 0 is the same as leaving it out.
        beam_size: Live hypotheses per utterance.
        length_norm: Exponent e of the division of the final score by (labels + 1)^e.
        length_reward: Added for every label.
        pre_beam: Candidates per hypothesis that scorers which are costly for a whole vocabulary
            (CTC prefix scores) look at; 1.5 times the beam where null.
        max_length_ratio: Most labels per encoder frame.
        patience: See above.

    Raises:
        ValueError: If no scorer has a weight, or the beam is empty.

    Source: Watanabe et al. 2017, section IV; ended hypotheses compete with live ones for the beam.
    """

    def __init__(
        self,
        scorers: dict[str, float],
        beam_size: int,
        length_norm: float = 0.0,
        length_reward: float = 0.0,
        pre_beam: int | None = None,
        max_length_ratio: float = 1.0,
        patience: int = 8,
    ) -> None:
        super().__init__()
        self.scorers = scorers
        self.weights = {name: weight for name, weight in scorers.items() if weight != 0}
        if not self.weights:
            raise ValueError(f"scorers {scorers}: at least one weight must not be 0")
        if beam_size < 1:
            raise ValueError(f"beam_size ({beam_size}) must be at least 1")
        self.beam_size = beam_size
        self.length_norm, self.length_reward = length_norm, length_reward
        self.pre_beam = pre_beam
        self.max_length_ratio = max_length_ratio
        self.patience = patience

    @property
    def head_names(self) -> list[str]:
        """The heads with a weight."""
        return list(self.weights)

    def run(
        self, heads: Mapping[str, ScoringHead], encoded: EncodedFrames
    ) -> list[list[Hypothesis]]:
        """Returns an n-best list per utterance, best first, at most beam_size long."""
        scorers = {n: self.head(heads, n).label_scorer(encoded) for n in self.weights}
        limits = (encoded.lengths * self.max_length_ratio).long().clamp(min=1).tolist()
        ended: list[list[Hypothesis]] = [[] for _ in limits]
        beam = self._first(scorers, encoded)
        for length in range(max(limits) + 1):
            at_limit = [length >= limits[u] for u in beam.utterances]
            beam = self._step(beam, ended, at_limit)
            done = [
                stop or self._finished(ended[u], beam, row)
                for row, (u, stop) in enumerate(zip(beam.utterances, at_limit, strict=True))
            ]
            if all(done):
                break
            beam = self._without(beam, done)
        return [sorted(n, key=lambda h: -h.score)[: self.beam_size] for n in ended]

    def _first(self, scorers: dict[str, LabelScorer], encoded: EncodedFrames) -> _Beam:
        count, device = len(encoded.lengths), encoded.lengths.device
        return _Beam(
            scorers=scorers,
            states={name: scorer.initial_state() for name, scorer in scorers.items()},
            utterances=list(range(count)),
            totals=torch.zeros(count, 1, device=device),
            parts=torch.zeros(count, 1, len(scorers), device=device),
            labels=torch.zeros(count, 1, 0, dtype=torch.int64, device=device),
            stale=[0] * count,
            closed=[False] * count,
        )

    def _step(self, beam: _Beam, ended: list[list[Hypothesis]], at_limit: list[bool]) -> _Beam:
        """Scores all extensions, moves ended ones aside, keeps the best live ones."""
        candidates, parts = self._score(beam)  # (H, C), (H, C, S)
        utterances, live = beam.totals.shape
        weights = parts.new_tensor(list(self.weights.values()))
        scores = beam.totals.view(-1, 1) + (parts * weights).sum(2) + self.length_reward
        eos = candidates == beam.eos
        scores = scores - self.length_reward * eos
        width = candidates.shape[1]
        flat = scores.view(utterances, live * width)
        top, index = flat.topk(min(2 * self.beam_size, flat.shape[1]), dim=1)
        is_eos = eos.reshape(utterances, -1).gather(1, index)
        picked = parts.reshape(utterances, -1, parts.shape[2])
        parents = torch.div(index, width, rounding_mode="floor")
        self._collect(beam, ended, at_limit, _Ends(flat, eos, picked, top, is_eos, parents, index))
        # The best live extensions, in order; fewer than the beam leave dead rows.
        order = top.masked_fill(is_eos, DEAD).argsort(dim=1, descending=True, stable=True)
        order = order[:, : self.beam_size]
        chosen, origin = index.gather(1, order), parents.gather(1, order)
        labels = candidates.reshape(utterances, -1).gather(1, chosen)
        labels = labels.masked_fill(labels == beam.eos, 0)  # dead rows take any label
        totals = top.masked_fill(is_eos, DEAD).gather(1, order).clamp(min=DEAD)
        new_parts = picked.gather(1, chosen[..., None].expand(-1, -1, picked.shape[2]))
        old_parts = beam.parts.gather(1, origin[..., None].expand_as(new_parts))
        history = beam.labels.gather(1, origin[..., None].expand(-1, -1, beam.labels.shape[2]))
        offsets = torch.arange(utterances, device=origin.device)[:, None] * live
        rows = (origin + offsets).flatten()
        states = {}
        for name, scorer in beam.scorers.items():
            with self.timed(name):
                states[name] = scorer.advance(select(beam.states[name], rows), labels.flatten())
        beam.states, beam.totals, beam.parts = states, totals, old_parts + new_parts
        beam.labels = torch.cat([history, labels[..., None]], dim=2)
        return beam

    def _score(self, beam: _Beam) -> tuple[Tensor, Tensor]:
        """Returns candidate ids (H, C), eos among them, and each scorer's scores (H, C, S)."""
        scores: dict[str, Tensor] = {}
        for name, scorer in beam.scorers.items():
            if not scorer.partial:
                with self.timed(name):
                    scores[name] = scorer.score(beam.states[name])
        partial = [name for name, scorer in beam.scorers.items() if scorer.partial]
        candidates = None
        if scores and partial:
            candidates = self._candidates(scores)
            scores = {name: full.gather(1, candidates) for name, full in scores.items()}
        for name in partial:
            with self.timed(name):
                scores[name] = beam.scorers[name].score(beam.states[name], candidates)
        parts = torch.stack([scores[name].float() for name in beam.scorers], dim=2)
        if candidates is None:
            candidates = torch.arange(parts.shape[1], device=parts.device).expand(parts.shape[:2])
        beam.eos = int(candidates[0, -1])  # eos is always the last candidate
        return candidates, parts

    def _candidates(self, scores: dict[str, Tensor]) -> Tensor:
        """Returns the labels (H, C) that the full scorers like best, and eos."""
        total = sum(scores[name] * self.weights[name] for name in scores)
        assert isinstance(total, Tensor)
        eos = total.shape[1] - 1
        count = self.pre_beam or max(int(1.5 * self.beam_size), 2)
        best = total[:, :eos].topk(min(count, eos), dim=1).indices
        return torch.cat([best, torch.full_like(best[:, :1], eos)], dim=1)

    def _collect(
        self, beam: _Beam, ended: list[list[Hypothesis]], at_limit: list[bool], ends: _Ends
    ) -> None:
        """Moves ended hypotheses that made it into the beam aside; all of them at the limit."""
        for row, utterance in enumerate(beam.utterances):
            if beam.closed[row]:
                continue
            before = max((h.score for h in ended[utterance]), default=float("-inf"))
            for place, parent in ends.of(row, self.beam_size, everything=at_limit[row]):
                total = float(ends.flat[row, place])
                if total <= DEAD:
                    continue
                labels = beam.labels[row, parent].tolist()
                parts = (beam.parts[row, parent] + ends.parts[row, place]).tolist()
                score = total / (len(labels) + 1) ** self.length_norm
                by_name = dict(zip(beam.scorers, parts, strict=True))
                ended[utterance].append(Hypothesis(labels, score, by_name))
            after = max((h.score for h in ended[utterance]), default=float("-inf"))
            beam.stale[row] = 0 if after > before else beam.stale[row] + 1

    def _finished(self, ended: list[Hypothesis], beam: _Beam, row: int) -> bool:
        if not ended:
            return float(beam.totals[row, 0]) <= DEAD
        falls = not self.length_norm and self.length_reward <= 0
        if falls and min(self.weights.values()) >= 0:
            return max(h.score for h in ended) >= float(beam.totals[row, 0])
        return beam.stale[row] >= self.patience

    def _without(self, beam: _Beam, done: list[bool]) -> _Beam:
        """Closes finished utterances, and drops them once they are a quarter of the batch."""
        beam.closed = [a or b for a, b in zip(beam.closed, done, strict=True)]
        if sum(beam.closed) * 4 < len(beam.closed):
            return beam
        keep = [row for row, closed in enumerate(beam.closed) if not closed]
        index = torch.tensor(keep, device=beam.totals.device)
        width = beam.totals.shape[1]
        rows = (index[:, None] * width + torch.arange(width, device=index.device)).flatten()
        return _Beam(
            scorers={name: scorer.subset(index) for name, scorer in beam.scorers.items()},
            states={name: select(state, rows) for name, state in beam.states.items()},
            utterances=[beam.utterances[row] for row in keep],
            totals=beam.totals[index],
            parts=beam.parts[index],
            labels=beam.labels[index],
            stale=[beam.stale[row] for row in keep],
            closed=[False] * len(keep),
            eos=beam.eos,
        )


@dataclass
class _Beam:
    """Live hypotheses of some utterances: (B, beam) totals, (B, beam, S) parts, and so on."""

    scorers: dict[str, LabelScorer]
    states: dict[str, State]
    utterances: list[int]
    totals: Tensor
    parts: Tensor
    labels: Tensor
    stale: list[int]
    closed: list[bool]
    eos: int = -1


@dataclass
class _Ends:
    """All extensions of a step, and which of the best are ends."""

    flat: Tensor
    eos: Tensor
    parts: Tensor
    top: Tensor
    is_eos: Tensor
    parents: Tensor
    index: Tensor
    _lists: dict[str, list[list[int]]] = field(default_factory=dict)

    def of(self, row: int, beam_size: int, everything: bool) -> list[tuple[int, int]]:
        """Returns (place among all extensions, parent) of ends of one utterance."""
        if everything:
            places = self.eos.reshape(self.flat.shape)[row].nonzero().flatten().tolist()
            return [(place, place // self.eos.shape[1]) for place in places]
        if not self._lists:
            for name in ("index", "parents", "is_eos"):
                self._lists[name] = getattr(self, name)[:, :beam_size].tolist()
        rows = zip(*(self._lists[n][row] for n in ("index", "parents", "is_eos")), strict=True)
        return [(place, parent) for place, parent, end in rows if end]
