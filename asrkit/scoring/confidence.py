"""How certain a recogniser is of its words, and how far that can be believed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asrkit.files import replaced
from asrkit.plotting import new_figure
from asrkit.records import Amount, AnyFloat, Count
from asrkit.run_files import NbestLine
from asrkit.search.rover import aligned, network, posteriors, summed

LEAST = 1e-4
"""Nothing is more certain than this far from 0 and 1."""
STEPS = 100
LITTLE = 1e-9
RIDGE = 1e-3
"""Keeps the fit finite where all words are right, or all are wrong."""
FEATURES_RIDGE = 1.0
"""Few words say little of features."""
Values = NDArray[np.float64]
Features = Mapping[str, Sequence[float]]
"""What else is known of words, by name."""


def nbest_confidences(line: NbestLine, sharpness: float = 1.0) -> list[float]:
    """Returns the share of the votes that each word of the best hypothesis has.

    Args:
        line: An utterance.
        sharpness: Factor of the scores where they become probabilities.
    """
    return [share for share, _ in nbest_votes(line, sharpness)]


def nbest_votes(line: NbestLine, sharpness: float = 1.0) -> list[tuple[float, int]]:
    """Returns the share of the votes that each word has, and how many words have some there.

    Words are those of the best hypothesis. Each hypothesis of the list votes by its probability, as
    in a `rover` search.

    Args:
        line: An utterance.
        sharpness: Factor of the scores where they become probabilities.
    """
    shares = posteriors([one.score for one in line.hypotheses], sharpness)
    said = [tuple(one.text.split()) for one in line.hypotheses]
    slots = network(summed(zip(said, shares, strict=True)))
    return [
        (0.0, 1) if slot is None else (slot.votes.get(word, 0.0), len(slot.votes))
        for slot, word in aligned(slots, tuple(line.words))
        if word is not None
    ]


@dataclass(frozen=True)
class Calibration:
    """Makes confidences of a search ones that can be believed.

    They are sigmoid(slope * logit(c) + shift), with more terms where features are known.

    Args:
        slope: Below 1, a search is surer than it should be.
        shift: Above 0, it is right more often than it thinks.
        set: That it was estimated on.
        words: How many words that had.
        sharpness: Factor of the scores where they become the probabilities that are calibrated.
        nce_before: Normalised cross entropy of that set's confidences as they were.
        nce: The same after calibration.
        weights: Of features of words, by name.
        lattices: Whether probabilities were those of lattices, else of n-best lists; other ones
            are not calibrated by it. None of older files, which did not tell.
    """

    slope: AnyFloat
    shift: AnyFloat
    set: str
    words: Count
    sharpness: AnyFloat = 1.0
    nce_before: AnyFloat | None = None
    nce: AnyFloat | None = None
    weights: dict[str, AnyFloat] = field(default_factory=dict)
    lattices: bool | None = None

    def __call__(
        self, confidences: Sequence[float], features: Features | None = None
    ) -> list[float]:
        """Returns calibrated confidences; features without weight count as nothing."""
        told = self.slope * _logits(confidences) + self.shift
        for name, values in (features or {}).items():
            told += self.weights.get(name, 0.0) * np.array(values, np.float64)
        return [float(value) for value in _sigmoid(told)]


def calibrated(
    confidences: Sequence[float],
    right: Sequence[bool],
    set_name: str,
    sharpness: float = 1.0,
    features: Features | None = None,
) -> Calibration:
    """Returns the calibration under which right and wrong words are likeliest.

    Args:
        confidences: Of words.
        right: Whether they were said.
        set_name: The set that they are of.
        sharpness: That they were made with.
        features: Of the same words; of little size, as large weights are thought unlikely.
    """
    columns, logits = features or {}, _logits(confidences)
    inputs = np.column_stack([logits, np.ones_like(logits), *columns.values()])  # (N, 2 + K)
    slope, shift, *weights = _fitted(inputs, np.array(right, np.float64))
    named = dict(zip(columns, weights, strict=True))
    found = Calibration(slope, shift, set_name, len(right), sharpness, weights=named)
    return replace(
        found,
        nce_before=normalised_cross_entropy(confidences, right),
        nce=normalised_cross_entropy(found(confidences, columns), right),
    )


def _fitted(inputs: Values, wanted: Values) -> list[float]:
    """Returns the weights of the likeliest calibration, by Newton's method.

    Steps that make it worse are halved. Little is known where all inputs are alike; then slope and
    shift, which come first, stay as they are as far as they can.

    Args:
        inputs: (N, 2 + K) logits, ones, and features of words.
        wanted: (N,) 1 of those that were said.
    """
    count = inputs.shape[1]
    ridge = np.array([RIDGE] * 2 + [FEATURES_RIDGE] * (count - 2))
    start = weights = np.array([1.0] + [0.0] * (count - 1))

    def loss(at: Values) -> float:
        told = inputs @ at
        doubt = np.logaddexp(0, -told) * wanted + np.logaddexp(0, told) * (1 - wanted)
        return float(doubt.sum() + (ridge / 2 * (at - start) ** 2).sum())

    for _ in range(STEPS):
        told = _sigmoid(inputs @ weights)
        slope = inputs.T @ (told - wanted) + ridge * (weights - start)
        curve = (inputs * (told * (1 - told))[:, None]).T @ inputs + np.diag(ridge)
        step = np.linalg.solve(curve, slope)
        while np.abs(step).max() > LITTLE and loss(weights - step) > loss(weights):
            step = step / 2
        weights = weights - step
        if np.abs(step).max() <= LITTLE:
            break
    return [float(weight) for weight in weights]


def normalised_cross_entropy(confidences: Sequence[float], right: Sequence[bool]) -> float | None:
    """Returns how much of the doubt about words their confidences take away: 1 is all of it.

    0 is what the share of right words tells by itself; less is worse than nothing. None where all
    words are right, or all are wrong.

    Source: NIST, "The tutorial on confidence measures" of SCTK (NCE).
    """
    told = np.clip(np.array(confidences, np.float64), LEAST, 1 - LEAST)
    wanted = np.array(right, bool)
    share = float(wanted.mean()) if len(wanted) else 0.0
    if not 0 < share < 1:
        return None
    doubt = -len(wanted) * (share * math.log2(share) + (1 - share) * math.log2(1 - share))
    return float((doubt + np.log2(np.where(wanted, told, 1 - told)).sum()) / doubt)


@dataclass(frozen=True)
class Bin:
    """Words of nearly the same confidence.

    Args:
        confidence: On average.
        right: Share that was said.
        words: How many.
    """

    confidence: Amount
    right: Amount
    words: Count


def reliability(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> list[Bin]:
    """Returns words in bins of equal width by their confidence; empty bins are left out."""
    told, wanted = np.array(confidences, np.float64), np.array(right, bool)
    places = np.minimum((told * bins).astype(int), bins - 1)
    return [
        Bin(float(told[inside].mean()), float(wanted[inside].mean()), int(inside.sum()))
        for inside in (places == number for number in range(bins))
        if inside.any()
    ]


def plot_reliability(found: Sequence[Bin], title: str, path: Path) -> None:
    """Draws the share of right words over their confidence; larger dots are of more words."""
    figure = new_figure(4.5, 4.5)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    most = max((each.words for each in found), default=1)
    axes.scatter(
        [each.confidence for each in found],
        [each.right for each in found],
        s=[10 + 190 * each.words / most for each in found],
    )
    for each in found:
        axes.annotate(f"{each.words:,}", (each.confidence, each.right), fontsize=7)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="share of right words")
    axes.set_title(title)
    with replaced(path) as partial:
        figure.savefig(partial, dpi=110)


def logits_of(confidences: Sequence[float]) -> list[float]:
    """Returns log(c / (1 - c)), of which none is infinite."""
    return [float(value) for value in _logits(confidences)]


def _logits(confidences: Sequence[float]) -> Values:
    told = np.clip(np.array(confidences, np.float64), LEAST, 1 - LEAST)
    return np.asarray(np.log(told) - np.log1p(-told), np.float64)


def _sigmoid(values: Values) -> Values:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -50, 50))), np.float64)
