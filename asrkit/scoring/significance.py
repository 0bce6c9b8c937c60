"""What chance does to error rates: intervals, and whether two systems really differ.

Both resample or swap units. Errors of one speaker are alike, so that speakers as units give wider,
more honest answers where a set has enough of them; utterances are the units that papers mostly use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asrkit.records import Amount, Count
from asrkit.scoring.edits import Errors

RESAMPLINGS = 10_000
AT_ONCE = 100
"""Resampled sets that are held in memory together."""
UTTERANCES, SPEAKERS = "utterances", "speakers"


@dataclass(frozen=True)
class Interval:
    """The 95 % interval of a rate, in percent, and how many units it was resampled from."""

    low: Amount
    high: Amount
    units: Count = 0


@dataclass(frozen=True)
class Comparison:
    """How likely a difference to another system is real.

    Args:
        other: The other system's rate in percent.
        difference: Ours minus theirs.
        probability_better: Share of the resampled sets on which ours is lower.
        probability_of_noise: Two-sided: how often mere chance would give such a difference.
        units: What is swapped and resampled as a whole: "utterances" or "speakers".
        count: How many units there are.
    """

    other: float
    difference: float
    probability_better: float
    probability_of_noise: float
    units: str = UTTERANCES
    count: int = 0


def bootstrap_interval(errors: Sequence[Errors]) -> tuple[float, float]:
    """Returns the 95 % interval of the rate, resampling units.

    Args:
        errors: Those of each unit: utterances, or what `by_speaker` returns.

    Source: Bisani and Ney 2004, section 3.
    """
    low, high = np.percentile(_resampled_rates(errors)[0], [2.5, 97.5])
    return float(low), float(high)


def speaker_interval(errors: Sequence[Errors], speakers: Sequence[str]) -> Interval | None:
    """Returns the 95 % interval of the rate, resampling speakers; None where there is only one."""
    summed = by_speaker(errors, speakers)
    return Interval(*bootstrap_interval(summed), len(summed)) if len(summed) > 1 else None


def by_speaker(errors: Sequence[Errors], speakers: Sequence[str]) -> list[Errors]:
    """Returns the errors of each speaker, in the order of their names.

    Args:
        errors: Those of each utterance.
        speakers: Who speaks it.
    """
    sums: dict[str, Errors] = {}
    for speaker, found in zip(speakers, errors, strict=True):
        sums[speaker] = sums.get(speaker, Errors()) + found
    return [sums[speaker] for speaker in sorted(sums)]


def paired_test(
    ours: Sequence[Errors], theirs: Sequence[Errors], speakers: Sequence[str] | None = None
) -> Comparison:
    """Compares two systems on the same utterances, in the same order and of the same words.

    Args:
        ours: Errors of each utterance.
        theirs: Those of the other system.
        speakers: Who speaks each utterance: speakers are the units of the test then.

    Raises:
        ValueError: If the numbers of utterances or their words differ.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} utterances can't be compared with {len(theirs)}")
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=True), 1):
        if mine.words != other.words:
            raise ValueError(
                f"utterance {number} has {mine.words} reference words here and {other.words} "
                "there: scores against other references can't be compared"
            )
    return compared(ours, theirs, speakers)


def compared(
    ours: Sequence[Errors], theirs: Sequence[Errors], speakers: Sequence[str] | None = None
) -> Comparison:
    """Does the same as `paired_test` where references have alternatives, and so no one length.

    What chance would do to the difference of the numbers of errors is exact: each unit's errors are
    swapped between the systems or not, in all ways that there are.

    Source: sign-flip permutation test; Bisani and Ney 2004, section 4 for `probability_better`.
    """
    rates = sum(ours, Errors()).rate, sum(theirs, Errors()).rate
    if speakers is not None:
        ours, theirs = by_speaker(ours, speakers), by_speaker(theirs, speakers)
    mine, other = _resampled_rates(ours, theirs)
    better = float((mine < other).mean() + 0.5 * (mine == other).mean())
    noise = sign_flip(a.total - b.total for a, b in zip(ours, theirs, strict=True))
    units = UTTERANCES if speakers is None else SPEAKERS
    return Comparison(rates[1], rates[0] - rates[1], better, noise, units, len(ours))


def difference_interval(ours: Sequence[Errors], theirs: Sequence[Errors]) -> Interval:
    """Returns the 95 % interval of the difference of two rates, ours minus theirs, in percent.

    Both are of the same resampled units, so that what is hard for both does not widen it.

    Source: Bisani and Ney 2004, section 4.
    """
    mine, other = _resampled_rates(ours, theirs)
    low, high = np.percentile(mine - other, [2.5, 97.5])
    return Interval(float(low), float(high), len(ours))


def holm(probabilities: Sequence[float]) -> list[float]:
    """Returns probabilities of noise that are corrected for how many there are.

    Those below 0.05 are real together: with a probability of 95 %, none of them is noise.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    ranked = sorted(range(len(probabilities)), key=lambda index: probabilities[index])
    corrected, least = [0.0] * len(probabilities), 0.0
    for rank, index in enumerate(ranked):
        least = max(least, (len(ranked) - rank) * probabilities[index])
        corrected[index] = min(least, 1.0)
    return corrected


def sign_flip(differences: Iterable[int]) -> float:
    """Returns how often random signs give a sum as far from 0 as that of the differences, or more.

    No sample of signs is drawn: the whole distribution is computed, as differences are integers.
    """
    differences = list(differences)
    sizes = Counter(abs(difference) for difference in differences if difference)
    most = sum(size * count for size, count in sizes.items())
    # Place i holds the probability that the positive part of the sum is i: the sum is 2 i - most.
    chances = np.zeros(most + 1)
    chances[0], reached = 1.0, 0
    for size in sorted(sizes):
        for _ in range(sizes[size]):
            reached += size
            chances[size : reached + 1] += chances[: reached + 1 - size].copy()
            chances[: reached + 1] *= 0.5
    sums = np.abs(2 * np.arange(most + 1) - most)
    return min(1.0, float(chances[sums >= abs(sum(differences))].sum()))


def _resampled_rates(*systems: Sequence[Errors]) -> NDArray[np.float64]:
    """Returns the rates of each system on the same resampled sets, (systems, RESAMPLINGS)."""
    totals = np.array([[e.total for e in errors] for errors in systems], dtype=np.float64)
    words = np.array([[e.words for e in errors] for errors in systems], dtype=np.float64)
    count = len(systems[0])
    random = np.random.default_rng(20)
    rates = []
    for _ in range(RESAMPLINGS // AT_ONCE):
        # How often each unit occurs in each of the sets: (N, AT_ONCE).
        occurs = random.multinomial(count, np.full(count, 1 / count), size=AT_ONCE).T
        rates.append(100.0 * (totals @ occurs) / np.maximum(words @ occurs, 1))
    return np.concatenate(rates, axis=1)
