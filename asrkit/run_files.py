"""What the JSON files of a run folder hold: the one description by which they are written and read.

Keys that not every reader needs have defaults, as older files lack them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NotRequired, TypedDict, TypeVar, cast

from asrkit.errors import UserError
from asrkit.records import Amount, AnyFloat, Count, read_json, read_json_lines

T = TypeVar("T")
Fields = dict[str, Any]


@dataclass(frozen=True)
class WrittenHypothesis:
    """One hypothesis of an n-best list.

    Args:
        text: Its words.
        labels: Their label ids.
        score: The search's.
        scores: Those of each scorer, by name.
    """

    text: str
    labels: list[Count]
    score: AnyFloat
    scores: dict[str, AnyFloat]


@dataclass(frozen=True, kw_only=True)
class NbestLine:
    """A line of nbest.jsonl: an utterance and what was found.

    Args:
        id: Of the utterance.
        speaker: Who speaks.
        seconds: Its length.
        reference: What was said.
        transcribed: Whether that is known.
        text: The best hypothesis's words; empty where there is none.
        hypotheses: Best first.
    """

    id: str
    speaker: str
    seconds: Amount = 0.0
    reference: str
    transcribed: bool = True
    text: str
    hypotheses: list[WrittenHypothesis] = field(default_factory=list)

    @property
    def reference_words(self) -> list[str]:
        """What was said, by word."""
        return self.reference.split()

    @property
    def words(self) -> list[str]:
        """The best hypothesis, by word."""
        return self.text.split()

    def as_json(self) -> Fields:
        """Returns what the line holds; that something is transcribed goes without saying."""
        found = asdict(self)
        if self.transcribed:
            del found["transcribed"]
        return found


@dataclass(frozen=True)
class SetFacts:
    """What a decode notes of its set.

    Args:
        data: The data folder.
        name: Of the set.
        manifest: Digest of its utterances.
        utterances: How many there are.
        rejected: How many did not get into the manifest.
    """

    data: str
    name: str
    manifest: str
    utterances: Count
    rejected: Count


@dataclass(frozen=True, kw_only=True)
class Summary:
    """summary.json of a decoded set.

    Args:
        utterances: How many were decoded.
        hypotheses_per_utterance: On average.
        audio_seconds: Length of all utterances.
        seconds: Time of encoder and search.
        rtf: That over the length; none without audio.
        encoder_seconds: Time of the encoder.
        search_seconds: Time of the search.
        scorer_seconds: Time of each scorer, by name.
        threads: That computed on the CPU.
        set: What the set was.
        lists: Digest of the n-best lists.
    """

    utterances: Count | None = None
    hypotheses_per_utterance: Amount = 0.0
    audio_seconds: Amount = 0.0
    seconds: Amount = 0.0
    rtf: Amount | None
    encoder_seconds: Amount = 0.0
    search_seconds: Amount = 0.0
    scorer_seconds: dict[str, AnyFloat] = field(default_factory=dict)
    threads: Count | None = None
    set: SetFacts | None = None
    lists: str | None = None


@dataclass(frozen=True)
class SearchNote:
    """search.json of a decoded set: how it was found.

    Args:
        search: The search's spec node, as it was written: older ones lack defaults.
        checkpoint: The decoded weights.
        command: That decoded.
        fingerprint: Of everything that the lists depend on.
    """

    search: Any
    checkpoint: str | None = None
    command: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True)
class SearchError:
    """A sentence whose reference scores higher than what the search found.

    Args:
        id: Of the utterance.
        reference: What was said.
        found: The best hypothesis.
        reference_score: The search's score of the reference.
        found_score: That of the hypothesis.
    """

    id: str
    reference: str
    found: str
    reference_score: AnyFloat
    found_score: AnyFloat


_Listed = list[SearchError]


@dataclass(frozen=True, kw_only=True)
class SearchErrors:
    """search_errors.json of a decoded set.

    Args:
        sentences: How many there are.
        wrong: How many of them have other labels than their reference.
        search_errors: How many are errors of the search.
        rate: Those in percent.
        unreachable_references: References that no path reaches or no labels spell.
        list: The search errors.
    """

    sentences: Count
    wrong: Count = 0
    search_errors: Count
    rate: Amount
    unreachable_references: Count = 0
    list: _Listed = field(default_factory=_Listed)


@dataclass(frozen=True)
class Environment:
    """What is read of environment.json of a run."""

    git_revision: str
    device: str
    threads: Count
    parameters: Count


class EpochFields(TypedDict):
    """What RESULTS.md needs of a line of log.jsonl, which describes an epoch."""

    epoch: Count
    seconds: Amount


class WholeEpoch(EpochFields):
    """A line of log.jsonl. Losses may be NaN if training diverges."""

    step: Count
    lr: AnyFloat
    train: dict[str, AnyFloat]
    dev: dict[str, AnyFloat]
    applied: NotRequired[dict[str, AnyFloat]]


@dataclass(frozen=True)
class Trial:
    """One decode of tune/SEARCH.json.

    Args:
        weights: Weights and settings by name.
        wer: In percent.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    weights: dict[str, float]
    wer: Amount
    low: AnyFloat = 0.0
    high: AnyFloat = 0.0


@dataclass(frozen=True)
class BelievedWord:
    """A word of a best hypothesis.

    Args:
        word: The word.
        begin: In seconds, from the utterance's begin.
        duration: In seconds.
        posterior: Its share of what was found.
        confidence: How certain it is, after calibration.
    """

    word: str
    begin: Amount
    duration: Amount
    posterior: Amount
    confidence: Amount


@dataclass(frozen=True)
class BelievedLine:
    """A line of words.jsonl.

    Args:
        id: Of the utterance.
        aligned: Whether the times are those of an alignment.
        words: Those of its best hypothesis.
    """

    id: str
    aligned: bool
    words: list[BelievedWord] = field(default_factory=list)


REMEDIES: dict[type, str] = {
    Summary: "decode the set again",
    SearchNote: "decode the set again",
    SearchErrors: "make it again by `asrkit search-errors`",
    Environment: "make it again by the command that trained the run",
}


def read_run_file(path: Path, kind: type[T]) -> T:
    """Returns what a JSON file of a run folder holds.

    Args:
        path: The file.
        kind: `Summary`, `SearchNote`, `SearchErrors` or `Environment`.

    Raises:
        UserError: If it is missing or has other content.
    """
    return read_json(path, kind, REMEDIES[kind])


def read_nbest(path: Path) -> list[NbestLine]:
    """Returns the utterances of an n-best file.

    Raises:
        UserError: If it is missing or holds something else.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; decode the set first")
    return list(read_json_lines(path, NbestLine, "decode the set again"))


def read_epochs(path: Path, whole: bool = True) -> list[Fields]:
    """Returns the epochs of a log; a line that was cut off at its end is left out.

    Args:
        path: The log.
        whole: Whether everything that training writes is needed.

    Raises:
        UserError: If it is missing or another line has other content.
    """
    remedy = "restore the log from a copy, or delete that line and those after it"
    kind = WholeEpoch if whole else EpochFields
    return cast(list[Fields], list(read_json_lines(path, kind, remedy, cut_off=True)))


def read_trials(path: Path) -> list[Trial]:
    """Returns the decodes of a tuning.

    Raises:
        UserError: If the file is missing, or has no decodes or other content.
    """
    remedy = "tune the search again"
    found = read_json(path, list[Trial], remedy)
    if not found or any(trial.weights.keys() != found[0].weights.keys() for trial in found):
        raise UserError(f"{path}: expected decodes with the same names of weights; {remedy}")
    return found
