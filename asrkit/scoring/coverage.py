"""What of a test set a score is of: a rate of fewer utterances is the rate of another set."""

from __future__ import annotations

from dataclasses import dataclass

from asrkit.records import Count


@dataclass(frozen=True)
class Coverage:
    """How many utterances of a set were scored, and where the others were lost.

    Args:
        utterances: That the corpus has for this set.
        rejected: Left out when the manifest was written: DATA/rejected/SET.tsv lists them.
        not_decoded: In the manifest, but without hypotheses.
        without_reference: Decoded, but nothing says what was spoken.
        edited: Whether the lists were changed after decoding.
    """

    utterances: Count
    rejected: Count = 0
    not_decoded: Count = 0
    without_reference: Count = 0
    edited: bool = False

    @property
    def scored(self) -> int:
        """Number of utterances that the score is of."""
        return self.utterances - sum(self.lost.values())

    @property
    def lost(self) -> dict[str, int]:
        """How many utterances were not scored, and why not."""
        return {
            "rejected in preparation": self.rejected,
            "not decoded": self.not_decoded,
            "without a reference": self.without_reference,
        }

    def remarks(self) -> list[str]:
        """Returns what must be said of the score; nothing where it is of the whole set."""
        lost = [f"{count} {how}" for how, count in self.lost.items() if count]
        return [*lost, *(["lists edited after decoding"] if self.edited else [])]

    def __str__(self) -> str:
        lost = self.utterances - self.scored
        shown = f"{self.scored} of {self.utterances}" if lost else str(self.scored)
        remarks = self.remarks()
        return f"{shown} ({', '.join(remarks)})" if remarks else shown
