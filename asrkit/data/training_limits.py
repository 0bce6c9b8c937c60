"""Which valid utterances are left out of training: short or long audio, long transcripts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asrkit.data.cuts import text_of
from asrkit.data.manifests import Unusable
from asrkit.data.settings import Limits
from asrkit.text.tokenizers import Tokenizer


@dataclass(frozen=True)
class TrainingLimits:
    """Returns why training can't or does not use an utterance.

    Args:
        unfit: Returns why it can't be used with any limits.
        tokenizer: Turns transcripts into labels.
        limits: Which utterances are trained on.
    """

    unfit: Callable[[Any], Unusable | None]
    tokenizer: Tokenizer
    limits: Limits

    def __call__(self, cut: Any) -> Unusable | None:
        """Returns why an utterance is not used; None if it is."""
        outside = self._too_short(cut) or self._too_long(cut)
        return outside or self.unfit(cut) or self._too_many_labels(cut)

    def _too_short(self, cut: Any) -> Unusable | None:
        least = self.limits.min_seconds
        if cut.duration >= least:
            return None
        detail = f"{cut.duration:.3f} s, data.limits.min_seconds is {least:g}"
        return Unusable(cut.id, "too short", detail)

    def _too_long(self, cut: Any) -> Unusable | None:
        most = self.limits.max_seconds
        if cut.duration <= most:
            return None
        detail = f"{cut.duration:.1f} s, data.limits.max_seconds is {most:g}"
        return Unusable(cut.id, "too long", detail)

    def _too_many_labels(self, cut: Any) -> Unusable | None:
        most = self.limits.max_labels
        if most is None:
            return None
        number = len(self.tokenizer.encode(text_of(cut)))
        if number <= most:
            return None
        detail = f"{number} labels, data.limits.max_labels is {most}"
        return Unusable(cut.id, "too many labels", detail)
