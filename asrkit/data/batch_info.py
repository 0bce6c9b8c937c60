"""What is known of an utterance beside its batch, for n-best lists and scores."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UtteranceInfo:
    """Name, speaker, reference text and duration of one utterance.

    `transcribed` says whether anything tells what was spoken; if not, the reference is empty.
    """

    id: str
    speaker: str
    reference: str
    seconds: float
    transcribed: bool = True
