"""The score of a set: word and character error rates, with their uncertainty."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from asrkit.errors import UserError
from asrkit.files import write_lines
from asrkit.run_files import NbestLine
from asrkit.run_files import read_nbest as read_nbest
from asrkit.run_folder import DecodedSet
from asrkit.scoring.coverage import Coverage
from asrkit.scoring.edits import Aligned, AlignedSet, Aligner, Errors, WordAligner
from asrkit.scoring.error_tables import (
    aligned_lines,
    aligned_texts,
    speaker_rows,
    utterance_rows,
)
from asrkit.scoring.score import Score as Score
from asrkit.scoring.score import ScorePart, write_score
from asrkit.scoring.significance import (
    SPEAKERS,
    UTTERANCES,
    Comparison,
    bootstrap_interval,
    compared,
    paired_test,
    speaker_interval,
)
from asrkit.tables import write_rows


def score_run(
    nbest: Path,
    out: Path,
    against: Path | None = None,
    aligner: Aligner = WordAligner(),  # noqa: B008 - has no state
    units: str = UTTERANCES,
    coverage: Coverage | None = None,
) -> Score:
    """Scores the best hypotheses of a set.

    Writes score.json, utterances.tsv, speakers.tsv, aligned.txt for people and aligned.jsonl for
    programs.

    Args:
        nbest: The n-best file.
        out: Folder to write to.
        against: N-best file of another system for the same set.
        aligner: Counts word errors.
        units: Of the comparison: "utterances" or "speakers".
        coverage: How much of the set the file has.

    Raises:
        UserError: If a file is missing, empty, without any reference, or the sets differ.
    """
    every = read_nbest(nbest)
    if not every:
        raise UserError(f"{nbest} has no utterances")
    lines = every if aligner.references else transcribed(every)
    aligned = aligner(lines)
    comparison = None if against is None else compare(nbest, against, aligner, units)
    aligned = aligner.official(aligned, lines, out)
    total = sum(aligned.errors, Errors())
    if not total.words:
        raise UserError(
            f"none of the {len(every)} utterances of {nbest} has a reference: there is nothing to "
            "score; see what was recognised there"
        )
    low, high = bootstrap_interval(aligned.errors)
    score = Score(
        wer=total.rate,
        low=low,
        high=high,
        cer=sum((each.characters for each in aligned.utterances), Errors()).rate,
        errors=total,
        utterances=len(aligned.utterances),
        wrong_utterances=sum(1 for e in aligned.errors if e.total),
        against=comparison,
        parts=by_category(aligned),
        missing=aligned.missing,
        scorer=aligned.scorer,
        by_speakers=speaker_interval(aligned.errors, aligned.speakers),
        references=aligner.references or digest_of_references(lines),
        empty_references=sum(1 for e in aligned.errors if not e.words),
        coverage=coverage and replace(coverage, without_reference=len(every) - len(lines)),
    )
    _write(DecodedSet(out), score, aligned.utterances)
    return score


def _write(place: DecodedSet, score: Score, utterances: Sequence[Aligned]) -> None:
    write_score(place.score, score)
    write_rows(place.utterances, utterance_rows(utterances))
    write_rows(place.speakers, speaker_rows(utterances))
    write_lines(place.aligned_text, aligned_texts(utterances))
    write_lines(place.aligned, aligned_lines(utterances))
    place.segments.unlink(missing_ok=True)  # of an older version


def by_category(found: AlignedSet) -> dict[str, ScorePart]:
    """Returns the errors of each category that segments are labelled with; none without labels.

    The group of a category is the place of its label: 0 for all segments, 1 for the corpora.
    """
    places: dict[str, int] = {}
    errors: dict[str, list[Errors]] = {label: [] for label in found.titles}
    for each in found.utterances:
        for group, label in enumerate(each.labels):
            places[label] = group
            errors.setdefault(label, []).append(each.errors)
    sums = {label: sum(some, Errors()) for label, some in errors.items() if some}
    return {
        label: ScorePart(
            title=found.titles.get(label, label),
            segments=len(errors[label]),
            errors=total,
            group=places[label],
            wer=total.rate,
        )
        for label, total in sums.items()
    }


def compare(
    nbest: Path,
    other: Path,
    aligner: Aligner = WordAligner(),  # noqa: B008 - has no state
    units: str = UTTERANCES,
) -> Comparison:
    """Compares the best hypotheses of two systems for the same set; see `score_run`.

    Raises:
        UserError: If a file is missing, or the files have other utterances or references.
    """
    lines, theirs = (read_nbest(path) for path in (nbest, other))
    if not aligner.references:
        lines, theirs = transcribed(lines), transcribed(theirs)
    if not aligner.fills:
        theirs = _in_order(theirs, lines, nbest, other)
    if not aligner.references:
        _require_same_references(lines, theirs, nbest, other)
    ours, others = aligner(lines), aligner(theirs)
    speakers = speakers_as_units(ours.speakers, units, nbest)
    # Alternatives in the aligner's own references have no one number of words.
    test = compared if aligner.references else paired_test
    return test(ours.errors, others.errors, speakers)


def _in_order(
    theirs: Sequence[NbestLine], lines: Sequence[NbestLine], nbest: Path, other: Path
) -> list[NbestLine]:
    """Returns their lines in the order of ours, which must be of the same utterances."""
    by_name = {line.id: line for line in theirs}
    missing = [line.id for line in lines if line.id not in by_name]
    if missing or len(by_name) != len(lines):
        raise UserError(
            f"{other} has other utterances than {nbest}"
            + (f", no {missing[0]} for one" if missing else f": {len(by_name)}, not {len(lines)}")
        )
    return [by_name[line.id] for line in lines]


def transcribed(lines: Sequence[NbestLine]) -> list[NbestLine]:
    """Returns the lines of an n-best file of which is known what was spoken."""
    return [line for line in lines if line.transcribed]


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
    lines: Sequence[NbestLine], theirs: Sequence[NbestLine], path: Path, other: Path
) -> None:
    for line, their in zip(lines, theirs, strict=True):
        if line.reference_words != their.reference_words:
            raise UserError(
                f"{other} and {path} have other references, such as {their.reference!r} and "
                f"{line.reference!r} of {line.id}: decode both sets from the same manifest"
            )


def digest_of_references(lines: Sequence[NbestLine]) -> str:
    """Returns what is the same for lines with the same names and reference words, in any order."""
    texts = sorted((line.id, line.reference_words) for line in lines)
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()
