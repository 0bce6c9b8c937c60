"""The content of the JSON files in a run folder, which they are checked against when read.

Keys that not every reader needs may be missing; keys added by newer versions are kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict, cast

from asrkit.errors import UserError
from asrkit.records import Amount, AnyFloat, Count, read_json, read_json_lines

Fields = dict[str, Any]


class HypothesisFields(TypedDict):
    """One hypothesis of an n-best list, with the score of each scorer."""

    text: str
    labels: list[Count]
    score: AnyFloat
    scores: dict[str, AnyFloat]


class NbestLine(TypedDict):
    """A line of nbest.jsonl: one utterance."""

    id: str
    speaker: str
    reference: str
    transcribed: NotRequired[bool]
    text: str
    hypotheses: NotRequired[list[HypothesisFields]]


class SetFacts(TypedDict):
    """Facts about the set of a decode."""

    data: str
    name: str
    manifest: str
    utterances: Count
    rejected: Count


class Summary(TypedDict):
    """summary.json of a decoded set."""

    rtf: Amount | None
    threads: NotRequired[Count]
    utterances: NotRequired[Count]
    set: NotRequired[SetFacts | None]
    lists: NotRequired[str]


class ScorerNode(TypedDict):
    """A scorer of a search, by its spec."""

    weight: float
    prior_scale: NotRequired[float | None]
    run: NotRequired[str | None]


class SearchNode(TypedDict):
    """A search, by its spec with all defaults."""

    type: str
    scorers: NotRequired[dict[str, float | ScorerNode] | None]
    beam_size: NotRequired[Count | None]
    length_norm: NotRequired[float]
    first: NotRequired[dict[str, Any]]


class SearchNote(TypedDict):
    """search.json of a decoded set: how it was found."""

    search: str | SearchNode
    checkpoint: NotRequired[str]
    command: NotRequired[str]
    fingerprint: NotRequired[str]


class ErrorCounts(TypedDict):
    """Word errors."""

    substitutions: Count
    deletions: Count
    insertions: Count
    words: Count


class SpeakerInterval(TypedDict):
    """An interval from resampling speakers."""

    low: Amount
    high: Amount


class ScorePart(TypedDict):
    """The errors of a category of an STM file."""

    title: str
    group: Count
    segments: NotRequired[Count]
    wer: Amount
    errors: ErrorCounts


class CoverageFields(TypedDict):
    """The part of a set that a score is for."""

    utterances: Count
    rejected: Count
    not_decoded: Count
    without_reference: NotRequired[Count]
    edited: bool


class ScoreFields(TypedDict):
    """score.json of a scored set."""

    wer: Amount
    low: Amount
    high: Amount
    cer: Amount
    errors: ErrorCounts
    utterances: Count
    missing: NotRequired[Count]
    coverage: NotRequired[CoverageFields | None]
    parts: NotRequired[dict[str, ScorePart]]
    by_speakers: NotRequired[SpeakerInterval | None]
    references: NotRequired[str]


class SearchErrors(TypedDict):
    """search_errors.json of a decoded set."""

    sentences: Count
    search_errors: Count
    rate: Amount


class Environment(TypedDict):
    """environment.json of a run."""

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


class ListedFields(TypedDict):
    """searches.json of a run: which searches its tables compare."""

    dev: str
    tests: list[str]
    searches: list[str]
    places: NotRequired[dict[str, list[str]]]


class TrialFields(TypedDict):
    """One decode of tune/SEARCH.json."""

    weights: dict[str, float]
    wer: Amount


class _Kind(NamedTuple):
    """The expected content of a file, and what to do if it is damaged."""

    fields: Any
    remedy: str


KINDS = {
    "score.json": _Kind(ScoreFields, "score the set again"),
    "summary.json": _Kind(Summary, "decode the set again"),
    "search.json": _Kind(SearchNote, "decode the set again"),
    "search_errors.json": _Kind(SearchErrors, "`asrkit search-errors` writes it again"),
    "environment.json": _Kind(Environment, "the command that trained the run writes it again"),
    "searches.json": _Kind(ListedFields, "`asrkit table` writes it again"),
}


def read_run_file(path: Path) -> Fields:
    """Returns the content of a JSON file of a run folder, whose type depends on its name.

    Raises:
        UserError: If it is missing or has other content.
    """
    kind = KINDS[path.name]
    remedy = f"{kind.remedy}"
    return cast(Fields, read_json(path, kind.fields, remedy))


def read_nbest(path: Path) -> list[Fields]:
    """Returns the utterances of an n-best file.

    Raises:
        UserError: If it is missing or holds something else.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; decode the set first")
    remedy = "decode the set again"
    return cast(list[Fields], list(read_json_lines(path, NbestLine, remedy)))


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


def read_trials(path: Path) -> list[Fields]:
    """Returns the decodes of a tuning run.

    Raises:
        UserError: If the file is missing, or has no decodes or other content.
    """
    remedy = "tune the search again"
    found = cast(list[Fields], read_json(path, list[TrialFields], remedy))
    if not found or any(trial["weights"].keys() != found[0]["weights"].keys() for trial in found):
        raise UserError(f"{path}: expected decodes with the same names of weights; {remedy}")
    return found
