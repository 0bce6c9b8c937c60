"""Which valid utterances are left out of training: short audio, long transcripts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asrkit.data.cuts import text_of
from asrkit.data.manifests import Unusable
from asrkit.text.tokenizers import Tokenizer


@dataclass(frozen=True)
class TrainingLimits:
    """Returns why training can't or does not use an utterance.

    Args:
        unfit: Returns why it can't be used with any limits.
        tokenizer: Turns transcripts into labels.
        min_seconds: Shorter utterances are left out.
        max_labels: Utterances with more labels are left out; none where null.
    """

    unfit: Callable[[Any], Unusable | None]
    tokenizer: Tokenizer
    min_seconds: float
    max_labels: int | None

    def __call__(self, cut: Any) -> Unusable | None:
        """Returns why an utterance is not used; None if it is."""
        return self._too_short(cut) or self.unfit(cut) or self._too_many_labels(cut)

    def _too_short(self, cut: Any) -> Unusable | None:
        if cut.duration >= self.min_seconds:
            return None
        detail = f"{cut.duration:.3f} s, data.min_seconds is {self.min_seconds:g}"
        return Unusable(cut.id, "too short", detail)

    def _too_many_labels(self, cut: Any) -> Unusable | None:
        if self.max_labels is None:
            return None
        number = len(self.tokenizer.encode(text_of(cut)))
        if number <= self.max_labels:
            return None
        detail = f"{number} labels, data.max_labels is {self.max_labels}"
        return Unusable(cut.id, "too many labels", detail)
