"""Label-synchronous beam search with any weighted scorers, over many utterances at once."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from asrkit.scorers.entries import Scorer
from asrkit.scorers.interfaces import (
    IMPOSSIBLE,
    EncodedFrames,
    Hypothesis,
    select,
)
from asrkit.search.beam import recombined
from asrkit.search.ended import Ended, EndedAside, Rivals
from asrkit.search.label_beam import Extensions, LabelBeam
from asrkit.search.lengths import LengthNorm
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
        length_norm: Exponent e of the division of the final score by (labels + 1)^e, where 1 is for
            the end.
        length_offset: O of the division by ((labels + 1 + O) / (1 + O))^e; with -1 the end doesn't
            count.
        length_reward: Added for every label.
        pre_beam: Candidates per hypothesis that scorers which are costly for a whole vocabulary
            (CTC prefix scores) look at; where null, 1.5 times the beam, or all labels if no other
            scorer hears the speech: what a language model likes best may not have been said.
        max_length_ratio: Most labels per encoder frame.
        patience: See above; 8 where null. Only where ended hypotheses are aside.
        nbest: Length of the n-best list; the search continues until that many can't be improved.
            Where null, it ends with the best, and the list holds what ended by then, at most
            beam_size.
        recombination: What becomes of hypotheses that spell the same words with other labels, live
            ones of as many labels and ended ones of any: all stay, the best stays, or it gets
            their sum. What each scorer says is that of the best one.
        ended: What becomes of hypotheses that have ended. Where it isn't `aside`, an utterance ends
            when no live hypothesis is left.

    Raises:
        ValueError: If no scorer has a weight, a size is not positive, or patience is given where
            there is no use for it.

    Source: Watanabe et al. 2017, section IV.
    """

    def __init__(
        self,
        scorers: Mapping[str, float | Scorer],
        beam_size: int,
        length_norm: float = 0.0,
        length_reward: float = 0.0,
        pre_beam: int | None = None,
        max_length_ratio: float = 1.0,
        patience: int | None = None,
        nbest: int | None = None,
        recombination: Literal["none", "max", "sum"] = "none",
        length_offset: int = 0,
        ended: Ended = EndedAside(),  # noqa: B008 - has no state
    ) -> None:
        super().__init__(scorers)
        sizes = {"beam_size": beam_size, "pre_beam": pre_beam, "nbest": nbest}
        for name, size in sizes.items():
            if size is not None and size < 1:
                raise ValueError(f"{name} ({size}) must be at least 1")
        if not max_length_ratio > 0:
            raise ValueError(f"max_length_ratio ({max_length_ratio}) must be positive")
        self.beam_size, self.nbest = beam_size, nbest
        if ended.to_the_end and patience is not None:
            raise ValueError(
                f"patience ({patience}) is of ended: aside; expected null, as this search ends "
                "when no live hypothesis is left"
            )
        self.norm, self.length_reward = LengthNorm(length_norm, length_offset), length_reward
        self.pre_beam = pre_beam
        self.max_length_ratio = max_length_ratio
        self.patience, self.ended = 8 if patience is None else patience, ended
        self.recombination = recombination

    def run(self, parts: SearchParts, encoded: EncodedFrames) -> list[list[Hypothesis]]:
        """Returns an n-best list per utterance, best first."""
        limits = (encoded.lengths * self.max_length_ratio).long().clamp(min=1)  # (B,)
        strings = self._strings(parts, limits.device)
        beam = LabelBeam.first(parts, strings, parts.label_scorers(encoded), limits)
        ended: list[Finals] = [{} for _ in beam.utterances]
        for length in range(int(limits.max()) + 1):
            extensions = self._extend(beam)
            extensions = self._collect(beam, ended, extensions, beam.limits <= length)
            self._advance(beam, extensions)
            beam = beam.without(self._finished(beam, ended, length + 1))
            if all(beam.closed):
                break
        longest = self.nbest or self.ended.most(self.beam_size)
        return [sorted(n.values(), key=lambda h: -h.score)[:longest] for n in ended]

    def without_pruning(self, num_labels: int) -> Search:
        """Returns a copy with a beam of 1, as each step has one beginning of a sequence."""
        alike = copy(self)
        alike.beam_size, alike.ended = 1, EndedAside()
        return alike

    def _strings(self, parts: SearchParts, device: torch.device) -> WordStrings | None:
        return None if self.recombination == "none" else parts.word_strings(device)

    def _extend(self, beam: LabelBeam) -> Extensions:
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
        found = Extensions(parts, ending, best, parents, columns, labels, words)
        return found if beam.strings is None else self._merged(found, beam.strings)

    def _merged(self, found: Extensions, strings: WordStrings) -> Extensions:
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

    def _score(self, beam: LabelBeam) -> tuple[Tensor | None, Tensor]:
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
        self, beam: LabelBeam, ended: list[Finals], extensions: Extensions, at_limit: Tensor
    ) -> Extensions:
        """Moves hypotheses that end now to the ended ones, where the rule keeps them.

        Args:
            beam: The hypotheses.
            ended: Those that have ended, of each utterance; changed.
            extensions: Of the hypotheses, by a label or by eos.
            at_limit: (B,) whether there must be no further label.

        Returns:
            The extensions without live ones that the rule gives up.
        """
        ending = extensions.ending  # (B, H)
        divisor = self.norm.divisor(beam.labels.shape[2])
        rivals = self._rivals(beam, ended, extensions, at_limit)
        kept = self.ended.keep(rivals)
        opened = ~torch.tensor(beam.closed, device=ending.device)  # (B,)
        possible = (ending > IMPOSSIBLE / 2) & opened[:, None]
        if kept.ended is not None:
            self._forget(beam, ended, kept.ended | ~opened[:, None])
        chosen = kept.ending & possible  # (B, H)
        rows, places = chosen.nonzero(as_tuple=True)
        beam.stale = [steps + 1 for steps in beam.stale]
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
            key = next(reversed(found), -1) + 1 if beam.strings is None else words
            if key in found:
                new = self._recombined(new, found[key])
            if all(new.score > other.score for other in found.values()):
                beam.stale[row] = 0
            found[key] = new
        if kept.live is None:
            return extensions
        return replace(extensions, best=extensions.best.masked_fill(~kept.live, IMPOSSIBLE))

    def _rivals(
        self, beam: LabelBeam, ended: list[Finals], extensions: Extensions, at_limit: Tensor
    ) -> Rivals:
        """Returns the hypotheses of a step, with what had ended where the rule compares it."""
        length = beam.labels.shape[2]
        live = extensions.best.masked_fill(at_limit[:, None], IMPOSSIBLE)
        divisor = self.norm.divisor(length)
        older: list[list[float]] = [[] for _ in beam.utterances]
        if self.ended.to_the_end:
            every = (ended[utterance].values() for utterance in beam.utterances)
            older = [[hypothesis.score * divisor for hypothesis in found] for found in every]
        width = max(map(len, older))
        rows = [row + [IMPOSSIBLE] * (width - len(row)) for row in older]
        scores = live.new_tensor(rows).view(len(rows), width)  # (B, E)
        return Rivals(
            live,
            extensions.ending,
            scores,
            lambda: self._reachable(beam, extensions.best, length + 1) * divisor,
            self.beam_size,
        )

    def _forget(self, beam: LabelBeam, ended: list[Finals], kept: Tensor) -> None:
        """Leaves the ended hypotheses that are kept (B, E)."""
        for utterance, row in zip(beam.utterances, kept.tolist(), strict=True):
            found = ended[utterance]
            pairs = zip(found.items(), row, strict=False)  # fewer than in other utterances
            ended[utterance] = {key: hypothesis for (key, hypothesis), stays in pairs if stays}

    def _recombined(self, one: Hypothesis, other: Hypothesis) -> Hypothesis:
        """Returns the better of two ended hypotheses of the same words, perhaps with their sum."""
        best, worst = (one, other) if one.score > other.score else (other, one)
        if self.recombination == "max":
            return best
        divisors = [self.norm.divisor(len(each.labels)) for each in (best, worst)]
        total = np.logaddexp(best.score * divisors[0], worst.score * divisors[1])
        return replace(best, score=float(total) / divisors[0])

    def _advance(self, beam: LabelBeam, extensions: Extensions) -> None:
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

    def _finished(self, beam: LabelBeam, ended: list[Finals], length: int) -> list[bool]:
        """Says which utterances have ended, now that live hypotheses have `length` labels."""
        alive = (beam.totals[:, 0] > IMPOSSIBLE / 2).tolist()
        limits = beam.limits.tolist()
        if self.ended.to_the_end:
            return [not row or length > limit for row, limit in zip(alive, limits, strict=True)]
        bounds = self._reachable(beam, beam.totals[:, :1], length)[:, 0].tolist()
        now = (beam.totals[:, 0] / self.norm.divisor(length)).tolist()
        late = bool(self.norm.exponent) or self.length_reward > 0 or not self._can_only_lose(beam)
        wanted = self.nbest or 1
        result = []
        for row, (utterance, limit) in enumerate(zip(beam.utterances, limits, strict=True)):
            scores = sorted((h.score for h in ended[utterance].values()), reverse=True)
            enough = len(scores) >= wanted
            safe = enough and scores[wanted - 1] >= bounds[row]
            behind = enough and scores[wanted - 1] >= now[row]
            tired = late and behind and beam.stale[row] >= self.patience
            result.append(safe or tired or not alive[row] or length > limit)
        return result

    def _reachable(self, beam: LabelBeam, totals: Tensor, length: int) -> Tensor:
        """Returns what live hypotheses can't pass any more, normalised.

        Args:
            beam: Whose limits and scorers count.
            totals: (B, H) of the hypotheses.
            length: Labels that they have.

        Returns:
            (B, H).
        """
        if not self._can_only_lose(beam):
            return torch.full_like(totals, float("inf"))
        if not self.norm.exponent and self.length_reward <= 0:
            return totals
        more = torch.arange(max(int(beam.limits.max()) - length, 0) + 1, device=totals.device)
        reachable = totals[:, :, None] + self.length_reward * more  # (B, H, M)
        reachable = reachable / self.norm.divisors(length + more)
        beyond = (length + more > beam.limits[:, None]) & (more > 0)  # (B, M)
        return reachable.masked_fill(beyond[:, None], IMPOSSIBLE).amax(2)

    def _can_only_lose(self, beam: LabelBeam) -> bool:
        """Whether scorers add nothing positive to a hypothesis."""
        rewarding = any(entry.rewards for entry in self.entries.values())
        return not rewarding and min(beam.loaded.weights.values()) >= 0
