"""The score of a set, as score.json has it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from asrkit.files import write_lines
from asrkit.records import Amount, Count, read_json
from asrkit.scoring.coverage import Coverage
from asrkit.scoring.edits import Errors
from asrkit.scoring.significance import Comparison, Interval


@dataclass(frozen=True, kw_only=True)
class ScorePart:
    """The errors of a category of an STM file.

    Args:
        title: Of the category.
        segments: How many belong to it; None where an older score does not say.
        errors: Their word errors.
        group: Place of its label: 0 for all segments, 1 for the corpora.
        wer: Word error rate in percent.
    """

    title: str
    segments: Count | None = None
    errors: Errors
    group: Count
    wer: Amount


@dataclass(frozen=True)
class Score:
    """The errors of a set.

    Args:
        wer: Word error rate in percent.
        low: Lower end of its 95 % interval.
        high: Upper end of its 95 % interval.
        cer: Character error rate in percent.
        errors: Word errors.
        utterances: Number of utterances.
        wrong_utterances: How many of them have an error.
        against: Comparison with another run on the same set.
        parts: Categories of an STM file, by label.
        missing: Segments of an STM file that were not decoded: all their words count as deleted.
        scorer: What counted the errors.
        by_speakers: The interval from resampling speakers instead of utterances; none where there
            are not two.
        references: Digest of what was scored against.
        empty_references: Utterances without a word to recognise: what is found there is inserted.
        coverage: How much of the set was scored; None where nothing is known of it.
    """

    wer: Amount
    low: Amount
    high: Amount
    cer: Amount
    errors: Errors
    utterances: Count
    wrong_utterances: Count = 0
    against: Comparison | None = None
    parts: dict[str, ScorePart] = field(default_factory=dict)
    missing: Count = 0
    scorer: str = "asrkit"
    by_speakers: Interval | None = None
    references: str = ""
    empty_references: Count = 0
    coverage: Coverage | None = None

    @property
    def scored_of(self) -> str:
        """How many utterances it is of, and what is missing."""
        shown = str(self.coverage or self.utterances)
        return shown + (f" ({self.missing} not decoded)" if self.missing else "")


def write_score(path: Path, score: Score) -> None:
    """Writes score.json."""
    write_lines(path, [json.dumps(asdict(score), indent=2)])


def read_score(path: Path) -> Score:
    """Returns what score.json holds.

    Raises:
        UserError: If it is missing or holds something else.
    """
    return read_json(path, Score, "score the set again")
