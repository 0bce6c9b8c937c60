"""Finds the weights of scorers with the fewest errors, on n-best lists, in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asrkit.errors import UserError
from asrkit.run_files import NbestLine, WrittenHypothesis
from asrkit.scoring.edits import Errors, count_errors
from asrkit.search.lengths import LengthNorm

UNLIKELY = -1e20
"""Scores below are those of impossible hypotheses."""


@dataclass(frozen=True)
class Decoded:
    """One decode of a set: lines of n-best lists, and the weights that they were found with."""

    lines: Sequence[NbestLine]
    weights: Mapping[str, float]


@dataclass(frozen=True)
class Pool:
    """All hypotheses of all utterances of a set, for trying weights.

    Args:
        names: S names of scorers.
        scores: (N, S) the score of each hypothesis by each scorer.
        rest: (N,) what the search adds whatever the weights are, such as rewards of labels.
        norms: (N,) what the sum of both is divided by.
        errors: (N,) word errors of each.
        starts: (M,) the first hypothesis of each utterance.
        words: Reference words of the set.
    """

    names: list[str]
    scores: NDArray[np.float64]
    rest: NDArray[np.float64]
    norms: NDArray[np.float64]
    errors: NDArray[np.int64]
    starts: NDArray[np.int64]
    words: int

    def rate(self, weights: Mapping[str, float]) -> float:
        """Returns the WER in percent if hypotheses are ranked with these weights."""
        vector = np.array([weights[name] for name in self.names])
        totals = (self.scores @ vector + self.rest) / self.norms
        highest = np.maximum.reduceat(totals, self.starts)
        sizes = np.diff([*self.starts, len(totals)])
        best = totals >= np.repeat(highest, sizes)
        # Of equally good ones the first counts, as in a search.
        order = np.flatnonzero(best)
        utterance = np.repeat(np.arange(len(self.starts)), sizes)[order]
        first = order[np.unique(utterance, return_index=True)[1]]
        return 100.0 * float(self.errors[first].sum()) / max(self.words, 1)


def pool(decodes: Sequence[Decoded], norm: LengthNorm = LengthNorm()) -> Pool:  # noqa: B008 - frozen
    """Joins the n-best lists of several decodes of one set by one search, but for the weights.

    Args:
        decodes: The lists; the scorers are those of the first one's weights.
        norm: What the search divides scores by.

    Raises:
        UserError: If a hypothesis lacks the score of one of the scorers.
    """
    names = list(decodes[0].weights)
    rows: list[list[float]] = []
    rest: list[float] = []
    norms: list[float] = []
    errors: list[int] = []
    starts: list[int] = []
    words = 0
    for lines in zip(*(decoded.lines for decoded in decodes), strict=True):
        starts.append(len(rows))
        reference = lines[0].reference_words
        words += len(reference)
        seen: dict[tuple[int, ...], tuple[WrittenHypothesis, Mapping[str, float]]] = {}
        for decoded, line in zip(decodes, lines, strict=True):
            for hypothesis in line.hypotheses:
                seen.setdefault(tuple(hypothesis.labels), (hypothesis, decoded.weights))
        counted: dict[str, Errors] = {}
        for labels, (hypothesis, weights) in seen.items():
            missing = [name for name in names if name not in hypothesis.scores]
            if missing:
                raise UserError(f"utterance {lines[0].id}: no score of {missing[0]!r} is stored")
            text = hypothesis.text
            if text not in counted:
                counted[text] = count_errors(reference, text.split())
            scores = [hypothesis.scores[name] for name in names]
            weighted = sum(weights[name] * x for name, x in zip(names, scores, strict=True))
            divisor = norm.divisor(len(labels))
            rows.append(scores)
            rest.append(hypothesis.score * divisor - weighted if weighted > UNLIKELY else 0.0)
            norms.append(divisor)
            errors.append(counted[text].total)
    return Pool(
        names,
        np.array(rows),
        np.array(rest),
        np.array(norms),
        np.array(errors),
        np.array(starts),
        words,
    )


def best_weights(
    found: Pool,
    fixed: Mapping[str, float],
    ranges: Mapping[str, tuple[float, float]],
    seed: int = 1,
    draws: int = 600,
) -> tuple[dict[str, float], float]:
    """Returns the weights with the lowest WER on a pool, and that WER.

    Random draws find the region; then each weight in turn is moved in ever smaller steps. Among
    equally good weights those in the middle of the best draws are taken: a plateau's edge is luck.

    Args:
        found: The hypotheses.
        fixed: All weights; those with a range start from here.
        ranges: Lowest and highest value of the weights to choose.
        seed: Of the draws.
        draws: How many.
    """
    random = np.random.default_rng(seed)
    names = list(ranges)
    low, high = (np.array([ranges[name][side] for name in names]) for side in (0, 1))
    points = low + (high - low) * random.random((draws, len(names)))
    points = np.vstack([[fixed[name] for name in names], points]).clip(low, high)

    def rate(point: NDArray[np.float64]) -> float:
        return found.rate({**fixed, **dict(zip(names, point, strict=True))})

    rates = np.array([rate(point) for point in points])
    plateau = points[rates <= rates.min() + 1e-9]
    center = plateau[np.abs(plateau - plateau.mean(0)).sum(1).argmin()]
    best, lowest = center, float(rates.min())
    step = (high - low) / 8
    for _ in range(4):
        for axis in range(len(names)):
            for sign in (-1, 1):
                trial = best.copy()
                trial[axis] = np.clip(trial[axis] + sign * step[axis], low[axis], high[axis])
                now = rate(trial)
                if now < lowest - 1e-9:
                    best, lowest = trial, now
        step = step / 2
    chosen = {name: round(float(value), 3) for name, value in zip(names, best, strict=True)}
    return {**fixed, **chosen}, lowest
