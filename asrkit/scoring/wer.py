"""The score of a set: word and character error rates, with their uncertainty."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from asrkit.errors import UserError
from asrkit.files import write_lines
from asrkit.run_files import read_nbest as read_nbest
from asrkit.scoring.coverage import Coverage
from asrkit.scoring.edits import Aligner, Errors, align_words, character_errors
from asrkit.scoring.error_tables import aligned_texts, speaker_rows, utterance_rows
from asrkit.scoring.significance import (
    SPEAKERS,
    UTTERANCES,
    Comparison,
    Interval,
    bootstrap_interval,
    compared,
    paired_test,
    speaker_interval,
)
from asrkit.tables import write_rows


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
        parts: Title, group, rate, errors and segments of each category of an STM file.
        missing: Segments of an STM file that were not decoded: all their words count as deleted.
        scorer: What counted the errors.
        by_speakers: The interval from resampling speakers instead of utterances; none where there
            are no two.
        references: Digest of what was scored against.
        empty_references: Utterances without a word to recognise: what is found there is inserted.
        coverage: How much of the set was scored; None where nothing is known of it.
    """

    wer: float
    low: float
    high: float
    cer: float
    errors: Errors
    utterances: int
    wrong_utterances: int
    against: Comparison | None = None
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: int = 0
    scorer: str = "asrkit"
    by_speakers: Interval | None = None
    references: str = ""
    empty_references: int = 0
    coverage: Coverage | None = None


def score_run(
    nbest: Path,
    out: Path,
    against: Path | None = None,
    aligner: Aligner = align_words,
    references: str = "",
    units: str = UTTERANCES,
    coverage: Coverage | None = None,
) -> Score:
    """Scores the best hypotheses of a set.

    Writes score.json, utterances.tsv, speakers.tsv and aligned.txt.

    Args:
        nbest: The n-best file.
        out: Folder to write to.
        against: N-best file of another system for the same set.
        aligner: Counts word errors.
        references: Digest of the aligner's own references; empty where it takes those of the lines.
        units: Of the comparison: "utterances" or "speakers".
        coverage: How much of the set the file has.

    Raises:
        UserError: If a file is missing, empty, without any reference, or the sets differ.
    """
    every = read_nbest(nbest)
    if not every:
        raise UserError(f"{nbest} has no utterances")
    lines = every if references else transcribed(every)
    aligned = aligner(lines)
    words = [errors for errors, _ in aligned]
    total = sum(words, Errors())
    if not total.words:
        raise UserError(
            f"none of the {len(every)} utterances of {nbest} has a reference: there is nothing to "
            "score; what was recognised stands there"
        )
    low, high = bootstrap_interval(words)
    score = Score(
        wer=total.rate,
        low=low,
        high=high,
        cer=sum(map(character_errors, lines), Errors()).rate,
        errors=total,
        utterances=len(lines),
        wrong_utterances=sum(1 for e in words if e.total),
        against=None if against is None else compare(nbest, against, aligner, references, units),
        by_speakers=speaker_interval(words, [line["speaker"] for line in lines]),
        references=references or digest_of_references(lines),
        empty_references=sum(1 for e in words if not e.words),
        coverage=coverage and replace(coverage, without_reference=len(every) - len(lines)),
    )
    write_lines(out / "score.json", [json.dumps(asdict(score), indent=2)])
    write_rows(out / "utterances.tsv", utterance_rows(lines, words))
    write_rows(out / "speakers.tsv", speaker_rows(lines, words))
    write_lines(out / "aligned.txt", aligned_texts(lines, aligned))
    (out / "segments.tsv").unlink(missing_ok=True)  # of another scoring, by the rules of Hub5
    return score


def compare(
    nbest: Path,
    other: Path,
    aligner: Aligner = align_words,
    references: str = "",
    units: str = UTTERANCES,
) -> Comparison:
    """Compares the best hypotheses of two systems for the same set; see `score_run`.

    Raises:
        UserError: If a file is missing, or the files have other utterances or references.
    """
    lines, their_lines = (read_nbest(path) for path in (nbest, other))
    if not references:
        lines, their_lines = transcribed(lines), transcribed(their_lines)
    by_name = {line["id"]: line for line in their_lines}
    missing = [line["id"] for line in lines if line["id"] not in by_name]
    if missing or len(by_name) != len(lines):
        raise UserError(
            f"{other} has other utterances than {nbest}"
            + (f", no {missing[0]} for one" if missing else f": {len(by_name)}, not {len(lines)}")
        )
    theirs = [by_name[line["id"]] for line in lines]
    if not references:
        _require_same_references(lines, theirs, nbest, other)
    ours, others = ([errors for errors, _ in aligner(each)] for each in (lines, theirs))
    speakers = speakers_as_units([line["speaker"] for line in lines], units, nbest)
    # Alternatives in the aligner's own references have no one number of words.
    test = compared if references else paired_test
    return test(ours, others, speakers)


def transcribed(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the lines of an n-best file of which is known what was spoken."""
    return [line for line in lines if line.get("transcribed", True)]


def speakers_as_units(speakers: Sequence[str], units: str, path: Path) -> Sequence[str] | None:
    """Returns the speakers where they are the units of a comparison, None where utterances are.

    Raises:
        UserError: If there are no two speakers.
    """
    if units != SPEAKERS:
        return None
    if len(set(speakers)) < 2:
        raise UserError(
            f"{path} names one speaker only: two systems can be compared with --units "
            f"{UTTERANCES}, not {SPEAKERS}"
        )
    return speakers


def _require_same_references(
    lines: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]], path: Path, other: Path
) -> None:
    for line, their in zip(lines, theirs, strict=True):
        if line["reference"].split() != their["reference"].split():
            raise UserError(
                f"{other} and {path} have other references, such as {their['reference']!r} and "
                f"{line['reference']!r} of {line['id']}: decode both sets from the same manifest"
            )


def digest_of_references(lines: Sequence[dict[str, Any]]) -> str:
    """Returns what is the same for lines with the same names and reference words, in any order."""
    texts = sorted((line["id"], line["reference"].split()) for line in lines)
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()
