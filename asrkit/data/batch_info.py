"""What is known about an utterance besides its batch, for n-best lists and scores."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UtteranceInfo:
    """Name, speaker, reference text and duration of one utterance.

    `transcribed` is False if there is no transcript; the reference is empty then.
    """

    id: str
    speaker: str
    reference: str
    seconds: float
    transcribed: bool = True
