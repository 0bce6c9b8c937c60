"""What users may give to a training of mixtures, in place of what it would find by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asrkit.hmm.questions import Question
from asrkit.hmm.timed_phones import TimedName

WordTimes = Mapping[str, tuple[TimedName, ...]]
"""When the words of utterances are said."""


@dataclass(frozen=True)
class Given:
    """What is given.

    Args:
        questions: Sets of phones that trees ask for; found by clustering where there are none.
        times: Of words, to begin with; utterances without them begin with equal lengths.
    """

    questions: tuple[Question, ...] = ()
    times: WordTimes = field(default_factory=dict)

    def of_stage(self, stage: str) -> list[object]:
        """Returns what a stage depends on; nothing where nothing is given."""
        given: object = dict(self.times) if stage == "mono" else self.questions
        return [given] if given else []
