"""Statistics of the utterances of a set, collected while its manifest is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lhotse.cut.data import DataCut

from asrkit.data.cuts import UNKNOWN, speaker_of, transcript_of
from asrkit.data.demands import Demands
from asrkit.data.sources import Unusable

DUPLICATE_NAME = "duplicate name"


@dataclass
class Examples:
    """How many utterances something is true for, and the first of them."""

    count: int = 0
    first: str = ""

    def add(self, name: str) -> None:
        """Counts an utterance."""
        self.count, self.first = self.count + 1, self.first or name


@dataclass
class SetFacts:
    """Counts what is usual of a set and what is not.

    Args:
        unusable: Those that can't, with the reasons.
        rates: Utterances by their samples per second.
        untold: Utterances without a transcript.
        wordless: Utterances whose transcript is empty.
        names: Of the utterances that can be used.
        seconds: Of audio, of those that can be used.
        speakers: Of those that can be used, where they are known.
    """

    unusable: list[Unusable] = field(default_factory=list)
    rates: dict[int, Examples] = field(default_factory=dict)
    untold: Examples = field(default_factory=Examples)
    wordless: Examples = field(default_factory=Examples)
    names: set[str] = field(default_factory=set)
    seconds: float = 0.0
    speakers: set[str] = field(default_factory=set)

    @property
    def count(self) -> int:
        """Number of usable utterances."""
        return len(self.names)

    def taken(self, result: DataCut | Unusable, demands: Demands) -> DataCut | None:
        """Returns the cut of an utterance if it is usable, and counts it."""
        if not isinstance(result, Unusable):
            result = self._judged(result, demands)
        if isinstance(result, Unusable):
            self.unusable.append(result)
            return None
        self.names.add(result.id)
        self.seconds += result.duration
        if speaker_of(result) != UNKNOWN:
            self.speakers.add(speaker_of(result))
        self.rates.setdefault(result.sampling_rate, Examples()).add(result.id)
        text = transcript_of(result)
        if text is None:
            self.untold.add(result.id)
        elif not text.strip():
            self.wordless.add(result.id)
        return result

    def _judged(self, cut: DataCut, demands: Demands) -> DataCut | Unusable:
        if cut.id in self.names:
            return Unusable(cut.id, DUPLICATE_NAME, "this name occurs more than once")
        text = transcript_of(cut)
        if text is None and demands.text != "any":
            return Unusable(cut.id, "no transcript", "the transcript is missing")
        if text is not None and not text.strip() and demands.text == "words":
            return Unusable(cut.id, "empty text", "the transcript is empty")
        return cut

    def left_out(self) -> dict[str, Examples]:
        """Returns how many utterances can't be used, and the details of one, by the reason."""
        found: dict[str, Examples] = {}
        for entry in self.unusable:
            found.setdefault(entry.reason, Examples()).add(f"{entry.id}: {entry.detail}")
        return found

    def remarks(self, sample_rate: int, rejected: Path) -> Iterator[str]:
        """Yields what users should know about the set.

        Args:
            sample_rate: Of the models.
            rejected: Where the unusable utterances are listed.
        """
        if self.unusable:
            yield f"{len(self.unusable)} utterances can't be used; all of them: {rejected}"
        for reason, found in self.left_out().items():
            yield f"{found.count} x {reason}, such as {found.first}"
        for rate, found in sorted(self.rates.items()):
            if rate != sample_rate:
                many = f"{found.count} of {self.count} utterances, such as {found.first},"
                yield f"{many} {of_other_rate(rate, sample_rate)}"
        if self.untold.count:
            yield (
                f"{self.untold.count} of {self.count} utterances have no transcript, such as "
                f"{self.untold.first}: they can be decoded, but not trained on or scored"
            )
        if self.wordless.count:
            yield (
                f"{self.wordless.count} of {self.count} utterances have an empty transcript, such "
                f"as {self.wordless.first}: they are scored, but not trained on"
            )


def of_other_rate(rate: int, wanted: int) -> str:
    """Returns the note about audio that has to be resampled."""
    said = f"have {rate} samples per second and are resampled to {wanted} when they are read"
    if rate < wanted:
        said += (
            f" (the upper {100 - 100 * rate // wanted} % of the spectrum is empty: a model "
            f"trained on {wanted} recognises them badly)"
        )
    return said
