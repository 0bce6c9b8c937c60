"""Label-synchronous beam search with any weighted scorers, over many utterances at once."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from asrkit.scorers.entries import Scorer
from asrkit.scorers.interfaces import (
    IMPOSSIBLE,
    EncodedFrames,
    Hypothesis,
    LabelScorer,
    State,
    select,
)
from asrkit.search.beam import recombined
from asrkit.search.parts import SearchParts
from asrkit.search.search import Search, searches
from asrkit.search.word_strings import WordStrings

Finals: TypeAlias = dict[int, Hypothesis]
"""Ended hypotheses of an utterance, by the hash of their words if they are recombined."""


@searches.register("label_sync")
class LabelSyncSearch(Search):
    """Extends every hypothesis by one label at a time; scores are weighted sums over scorers.

    An utterance ends when no live hypothesis can pass its best ended one. With weights that are
    not negative a live hypothesis' unnormalised sum can gain nothing but the rewards of the labels
    up to the limit, so this is exact. That bound is late with length normalisation or reward, and
    there is none with negative weights or with scorers that reward (length, coverage): then an
    utterance also ends once the best live hypothesis is behind, even if it could end at no cost,
    and `patience` steps brought no better ended one.

    Args:
        scorers: What scores, by name: the weight of the head of that name, or an entry of a kind
            that `asrkit list scorer` shows. A weight of 0 is the same as leaving it out.
        beam_size: Live hypotheses per utterance.
        length_norm: Exponent e of the division of the final score by (labels + 1)^e.
        length_reward: Added for every label.
        pre_beam: Candidates per hypothesis that scorers which are costly for a whole vocabulary
            (CTC prefix scores) look at; where null, 1.5 times the beam, or all labels if no other
            scorer hears the speech: what a language model likes best may not have been said.
        max_length_ratio: Most labels per encoder frame.
        patience: See above.
        nbest: Length of the n-best list; the search continues until that many can't be improved.
            Where null, it ends with the best, and the list holds what ended by then, at most
            beam_size.
        recombination: What becomes of hypotheses that spell the same words with other labels, live
            ones of as many labels and ended ones of any: all stay, the best stays, or it gets
            their sum. What each scorer says is that of the best one.

    Raises:
        ValueError: If no scorer has a weight, or a size is not positive.

    Source: Watanabe et al. 2017, section IV; ended hypotheses compete with live ones for the beam.
    """

    def __init__(
        self,
        scorers: Mapping[str, float | Scorer],
        beam_size: int,
        length_norm: float = 0.0,
        length_reward: float = 0.0,
        pre_beam: int | None = None,
        max_length_ratio: float = 1.0,
        patience: int = 8,
        nbest: int | None = None,
        recombination: Literal["none", "max", "sum"] = "none",
    ) -> None:
        super().__init__(scorers)
        sizes = {"beam_size": beam_size, "pre_beam": pre_beam, "nbest": nbest}
        for name, size in sizes.items():
            if size is not None and size < 1:
                raise ValueError(f"{name} ({size}) must be at least 1")
        if not max_length_ratio > 0:
            raise ValueError(f"max_length_ratio ({max_length_ratio}) must be positive")
        self.beam_size, self.nbest = beam_size, nbest
        self.length_norm, self.length_reward = length_norm, length_reward
        self.pre_beam = pre_beam
        self.max_length_ratio = max_length_ratio
        self.patience = patience
        self.recombination = recombination

    def run(self, parts: SearchParts, encoded: EncodedFrames) -> list[list[Hypothesis]]:
        """Returns an n-best list per utterance, best first."""
        limits = (encoded.lengths * self.max_length_ratio).long().clamp(min=1)  # (B,)
        beam = self._first(parts, parts.label_scorers(encoded), limits)
        ended: list[Finals] = [{} for _ in beam.utterances]
        for length in range(int(limits.max()) + 1):
            extensions = self._extend(beam)
            self._collect(beam, ended, extensions, beam.limits <= length)
            self._advance(beam, extensions)
            beam = self._without(beam, self._finished(beam, ended, length + 1))
            if all(beam.closed):
                break
        longest = self.nbest or self.beam_size
        return [sorted(n.values(), key=lambda h: -h.score)[:longest] for n in ended]

    def without_pruning(self, num_labels: int) -> Search:
        """Returns a copy with a beam of 1, as each step has one beginning of a sequence."""
        alike = copy(self)
        alike.beam_size = 1
        return alike

    def _first(self, parts: SearchParts, scorers: dict[str, LabelScorer], limits: Tensor) -> _Beam:
        count, device = len(limits), limits.device
        return _Beam(
            loaded=parts,
            strings=self._strings(parts, device),
            scorers=scorers,
            states={name: scorer.initial_state() for name, scorer in scorers.items()},
            utterances=list(range(count)),
            limits=limits,
            totals=torch.zeros(count, 1, device=device),
            parts=torch.zeros(count, 1, len(scorers), device=device),
            labels=torch.zeros(count, 1, 0, dtype=torch.int64, device=device),
            words=torch.zeros(count, 1, 2, dtype=torch.int64, device=device),
            stale=[0] * count,
            closed=[False] * count,
        )

    def _strings(self, parts: SearchParts, device: torch.device) -> WordStrings | None:
        if self.recombination == "none":
            return None
        if parts.vocabulary is None:
            raise ValueError("recombination by words needs the vocabulary")
        return WordStrings(parts.vocabulary, device)

    def _extend(self, beam: _Beam) -> _Extensions:
        """Scores all extensions of all hypotheses, and finds the best live ones."""
        candidates, parts = self._score(beam)
        parts = parts.view(*beam.totals.shape, *parts.shape[1:])  # (B, H, C, S)
        gains = (parts * parts.new_tensor(list(beam.loaded.weights.values()))).sum(3)  # (B, H, C)
        # Impossible for one scorer is impossible, whatever the sign of its weight.
        gains = gains.masked_fill((parts <= IMPOSSIBLE / 2).any(3), 2 * IMPOSSIBLE)
        scores = beam.totals[:, :, None] + gains
        growing, ending = scores[:, :, :-1] + self.length_reward, scores[:, :, -1]
        # Those that are recombined make room for others.
        wanted = self.beam_size * (1 if beam.strings is None else 2)
        count = min(wanted, growing.shape[1] * growing.shape[2])
        best, places = growing.flatten(1).topk(count, dim=1)  # (B, H')
        width = growing.shape[2]
        parents, columns = torch.div(places, width, rounding_mode="floor"), places % width
        labels = columns
        if candidates is not None:
            labels = candidates[:, :-1].reshape(len(places), -1).gather(1, places)
        rows = torch.arange(len(places), device=places.device)[:, None]
        words = beam.words[rows, parents]  # (B, H', 2)
        parts = parts + beam.parts[:, :, None]
        found = _Extensions(parts, ending, best, parents, columns, labels, words)
        return found if beam.strings is None else self._merged(found, beam.strings)

    def _merged(self, found: _Extensions, strings: WordStrings) -> _Extensions:
        """Returns the extensions with one of those that spell the same words."""
        words = strings.after(found.words, found.labels)
        best = recombined(found.best, strings.keys(words), self.recombination == "sum")
        best, kept = best.topk(min(self.beam_size, best.shape[1]), dim=1)
        return replace(
            found,
            best=best,
            parents=found.parents.gather(1, kept),
            columns=found.columns.gather(1, kept),
            labels=found.labels.gather(1, kept),
            words=words.gather(1, kept[..., None].expand(-1, -1, 2)),
        )

    def _score(self, beam: _Beam) -> tuple[Tensor | None, Tensor]:
        """Returns candidates (B * H, C), None for all, and scores (B * H, C, S); eos comes last."""
        scores: dict[str, Tensor] = {}
        for name, scorer in beam.scorers.items():
            if not scorer.partial:
                with beam.loaded.timed(name):
                    scores[name] = scorer.score(beam.states[name])
        partial = [name for name, scorer in beam.scorers.items() if scorer.partial]
        candidates = None
        hearing = (entry.hears for name, entry in self.entries.items() if name in scores)
        choosing = self.pre_beam or any(hearing)
        if scores and partial and choosing:
            candidates = self._candidates(scores, beam.loaded.weights)
            scores = {name: full.gather(1, candidates) for name, full in scores.items()}
        for name in partial:
            with beam.loaded.timed(name):
                scores[name] = beam.scorers[name].score(beam.states[name], candidates)
        return candidates, torch.stack([scores[name].float() for name in beam.scorers], dim=2)

    def _candidates(self, scores: dict[str, Tensor], weights: Mapping[str, float]) -> Tensor:
        """Returns the labels (B * H, C) that the full scorers like best, and eos."""
        total = sum(scores[name] * weights[name] for name in scores)  # (B * H, V + 1)
        assert isinstance(total, Tensor)
        eos = total.shape[1] - 1
        count = self.pre_beam or max(int(1.5 * self.beam_size), 2)
        best = total[:, :eos].topk(min(count, eos), dim=1).indices
        return torch.cat([best, torch.full_like(best[:, :1], eos)], dim=1)

    def _collect(
        self,
        beam: _Beam,
        ended: list[Finals],
        extensions: _Extensions,
        at_limit: Tensor,
    ) -> None:
        """Moves ended hypotheses that made it into the beam aside; all of them at the limit."""
        ending = extensions.ending  # (B, H)
        rivals = torch.cat([extensions.best, ending], dim=1)  # (B, H' + H)
        edge = rivals.topk(min(self.beam_size, rivals.shape[1]), dim=1).values[:, -1:]  # (B, 1)
        opened = ~torch.tensor(beam.closed, device=ending.device)  # (B,)
        possible = (ending > IMPOSSIBLE / 2) & opened[:, None]
        chosen = ((ending >= edge) | at_limit[:, None]) & possible  # (B, H)
        rows, places = chosen.nonzero(as_tuple=True)
        beam.stale = [steps + 1 for steps in beam.stale]
        divisor = (beam.labels.shape[2] + 1) ** self.length_norm
        for row, words, total, labels, parts in zip(
            rows.tolist(),
            beam.words[rows, places, 0].tolist(),
            ending[rows, places].tolist(),
            beam.labels[rows, places].tolist(),
            extensions.parts[rows, places, -1].tolist(),
            strict=True,
        ):
            found = ended[beam.utterances[row]]
            new = Hypothesis(labels, total / divisor, dict(zip(beam.scorers, parts, strict=True)))
            key = len(found) if beam.strings is None else words
            if key in found:
                new = self._recombined(new, found[key])
            if all(new.score > other.score for other in found.values()):
                beam.stale[row] = 0
            found[key] = new

    def _recombined(self, one: Hypothesis, other: Hypothesis) -> Hypothesis:
        """Returns the better of two ended hypotheses of the same words, perhaps with their sum."""
        best, worst = (one, other) if one.score > other.score else (other, one)
        if self.recombination == "max":
            return best
        divisors = [(len(each.labels) + 1) ** self.length_norm for each in (best, worst)]
        total = np.logaddexp(best.score * divisors[0], worst.score * divisors[1])
        return replace(best, score=float(total) / divisors[0])

    def _advance(self, beam: _Beam, extensions: _Extensions) -> None:
        """Makes the best live extensions the beam; dead rows stand where there are too few."""
        rows = torch.arange(len(beam.totals), device=beam.totals.device)[:, None]
        parents, labels = extensions.parents, extensions.labels
        chosen = (rows * beam.totals.shape[1] + parents).flatten()  # (B * H',)
        for name, scorer in beam.scorers.items():
            with beam.loaded.timed(name):
                state = select(beam.states[name], chosen)
                beam.states[name] = scorer.advance(state, labels.flatten())
        beam.totals = extensions.best.clamp(min=IMPOSSIBLE)
        beam.parts = extensions.parts[rows, parents, extensions.columns]
        beam.words = extensions.words
        beam.labels = torch.cat([beam.labels[rows, parents], labels[:, :, None]], dim=2)

    def _finished(self, beam: _Beam, ended: list[Finals], length: int) -> list[bool]:
        """Says which utterances have ended, now that live hypotheses have `length` labels."""
        bounds = self._bounds(beam, length).tolist()
        alive = (beam.totals[:, 0] > IMPOSSIBLE / 2).tolist()
        now = (beam.totals[:, 0] / (length + 1) ** self.length_norm).tolist()
        late = bool(self.length_norm) or self.length_reward > 0 or not self._can_only_lose(beam)
        wanted = self.nbest or 1
        result = []
        for row, (utterance, limit) in enumerate(
            zip(beam.utterances, beam.limits.tolist(), strict=True)
        ):
            scores = sorted((h.score for h in ended[utterance].values()), reverse=True)
            enough = len(scores) >= wanted
            safe = enough and scores[wanted - 1] >= bounds[row]
            behind = enough and scores[wanted - 1] >= now[row]
            tired = late and behind and beam.stale[row] >= self.patience
            result.append(safe or tired or not alive[row] or length > limit)
        return result

    def _bounds(self, beam: _Beam, length: int) -> Tensor:
        """Returns what no live hypothesis of `length` labels can pass any more: (B,)."""
        best = beam.totals[:, 0]
        if not self._can_only_lose(beam):
            return torch.full_like(best, float("inf"))
        if not self.length_norm and self.length_reward <= 0:
            return best
        more = torch.arange(max(int(beam.limits.max()) - length, 0) + 1, device=best.device)
        reachable = best[:, None] + self.length_reward * more  # (B, M)
        reachable = reachable / (length + more + 1) ** self.length_norm
        beyond = (length + more > beam.limits[:, None]) & (more > 0)
        return reachable.masked_fill(beyond, IMPOSSIBLE).amax(1)

    def _can_only_lose(self, beam: _Beam) -> bool:
        """Whether scorers add nothing positive to a hypothesis."""
        rewarding = any(entry.rewards for entry in self.entries.values())
        return not rewarding and min(beam.loaded.weights.values()) >= 0

    def _without(self, beam: _Beam, done: list[bool]) -> _Beam:
        """Closes finished utterances, and drops them once they are a quarter of the batch."""
        beam.closed = [a or b for a, b in zip(beam.closed, done, strict=True)]
        keep = [row for row, closed in enumerate(beam.closed) if not closed]
        if not keep or sum(beam.closed) * 4 < len(beam.closed):
            return beam
        index = torch.tensor(keep, dtype=torch.int64, device=beam.totals.device)
        width = beam.totals.shape[1]
        rows = (index[:, None] * width + torch.arange(width, device=index.device)).flatten()
        return _Beam(
            loaded=beam.loaded,
            strings=beam.strings,
            scorers={name: scorer.subset(index) for name, scorer in beam.scorers.items()},
            states={name: select(state, rows) for name, state in beam.states.items()},
            utterances=[beam.utterances[row] for row in keep],
            limits=beam.limits[index],
            totals=beam.totals[index],
            parts=beam.parts[index],
            labels=beam.labels[index],
            words=beam.words[index],
            stale=[beam.stale[row] for row in keep],
            closed=[False] * len(keep),
        )


@dataclass
class _Beam:
    """Live hypotheses of some utterances, best first, and what scores them.

    Args:
        loaded: What the search works with.
        strings: Tells the words of hypotheses apart, if they are recombined.
        scorers: Label scorers of these utterances by name.
        states: Theirs, with leading axis B * H.
        utterances: Which of the batch they are.
        limits: (B,) most labels.
        totals: (B, H) weighted sums; IMPOSSIBLE where a row holds no hypothesis.
        parts: (B, H, S) sums of each scorer.
        labels: (B, H, U).
        words: (B, H, 2) what they spell, if they are recombined.
        stale: Steps of each utterance without a better ended hypothesis.
        closed: Which utterances have ended.
    """

    loaded: SearchParts
    strings: WordStrings | None
    scorers: dict[str, LabelScorer]
    states: dict[str, State]
    utterances: list[int]
    limits: Tensor
    totals: Tensor
    parts: Tensor
    labels: Tensor
    words: Tensor
    stale: list[int]
    closed: list[bool]


@dataclass(frozen=True)
class _Extensions:
    """All extensions of a beam (B, H) by C candidates, of which the last is eos.

    Args:
        parts: (B, H, C, S) sums of each scorer, the extension included.
        ending: (B, H) totals of those by eos.
        best: (B, H') totals of the best by a label, best first.
        parents: (B, H') which hypothesis each of them extends.
        columns: (B, H') by which candidate.
        labels: (B, H') that candidate's id.
        words: (B, H', 2) what they spell then, if they are recombined.
    """

    parts: Tensor
    ending: Tensor
    best: Tensor
    parents: Tensor
    columns: Tensor
    labels: Tensor
    words: Tensor
