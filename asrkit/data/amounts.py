"""The amount of training data in an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Amounts:
    """The amount of data in one epoch.

    Args:
        batches: Batches of all processes.
        utterances: Utterances or sentences.
        labels: Labels of their transcripts.
        seconds: Audio, after speed perturbation; 0 for text.
    """

    batches: float
    utterances: float
    labels: float
    seconds: float = 0.0


def mean_amounts(each: Sequence[Amounts]) -> Amounts:
    """Returns the average of some epochs."""
    return Amounts(
        batches=sum(a.batches for a in each) / len(each),
        utterances=sum(a.utterances for a in each) / len(each),
        labels=sum(a.labels for a in each) / len(each),
        seconds=sum(a.seconds for a in each) / len(each),
    )
