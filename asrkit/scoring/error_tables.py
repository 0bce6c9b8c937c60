"""Tables of errors by utterance and speaker, written with a score and read again.

Each row has a name, its rate and counts; utterances.tsv also says who speaks, by which runs are
compared speaker by speaker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from asrkit.errors import UserError
from asrkit.escapes import escaped
from asrkit.files import json_line
from asrkit.records import read_json_lines
from asrkit.scoring.edits import EMPTY, Aligned, Errors, Kind
from asrkit.tables import as_line, read_rows

COLUMNS = ("wer", "words", "substitutions", "deletions", "insertions")


@dataclass(frozen=True)
class Counted:
    """The errors of an utterance, and who speaks it; empty where a file does not say."""

    errors: Errors
    speaker: str


def _row(name: str, errors: Errors) -> list[str]:
    parts = (errors.words, errors.substitutions, errors.deletions, errors.insertions)
    return [name, f"{errors.rate:.2f}", *map(str, parts)]


def utterance_rows(utterances: Sequence[Aligned]) -> list[list[str]]:
    """Returns the rows of utterances.tsv; a last column has the categories, if there are any."""
    labels = any(each.labels for each in utterances)
    rows = [["utterance", *COLUMNS, "speaker", *(["labels"] if labels else [])]]
    for each in utterances:
        last = [",".join(each.labels)] if labels else []
        rows.append([*_row(each.id, each.errors), each.speaker, *last])
    return rows


def speaker_rows(utterances: Sequence[Aligned]) -> list[list[str]]:
    """Returns the rows of speakers.tsv, the highest rate first."""
    speakers: dict[str, Errors] = defaultdict(Errors)
    for each in utterances:
        speakers[each.speaker] = speakers[each.speaker] + each.errors
    ranked = sorted(speakers.items(), key=lambda item: (-item[1].rate, item[0]))
    return [["speaker", *COLUMNS], *(_row(name, e) for name, e in ranked)]


def read_counts(path: Path, counts_at: int) -> dict[str, Counted]:
    """Returns the counts of a table whose rows begin with a name.

    Args:
        path: The file.
        counts_at: Column of the words, which those of the errors follow, and maybe the speaker's.

    Raises:
        UserError: If it is missing or damaged; names the line.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; score the set again")
    found = {}
    for number, cells in enumerate(read_rows(path), 1):
        numbers = cells[counts_at : counts_at + 4]
        if number == 1:
            continue  # the header
        if len(numbers) < 4 or not all(cell.isdecimal() for cell in numbers):
            raise UserError(
                f"{path}:{number}: expected a name and counts, got {as_line(cells)!r}; score again"
            )
        words, substitutions, deletions, insertions = map(int, numbers)
        speaker = cells[counts_at + 4] if len(cells) > counts_at + 4 else ""
        found[cells[0]] = Counted(Errors(substitutions, deletions, insertions, words), speaker)
    if not found:
        raise UserError(f"{path} has no counts of utterances; score again")
    return found


def aligned_texts(utterances: Sequence[Aligned]) -> list[str]:
    """Returns reference over hypothesis for every utterance, with a mark under errors."""
    rows = []
    for each in utterances:
        rows.append(
            f"{escaped(each.id)}  ({each.errors.total} errors in {each.errors.words} words)"
        )
        columns = [
            (w.reference or EMPTY, w.found or EMPTY, "" if w.kind == "correct" else "^")
            for w in each.words
        ]
        widths = [max(map(len, column)) for column in columns]
        for number, title in enumerate(("REF", "HYP", "   ")):
            cells = [c[number].ljust(width) for c, width in zip(columns, widths, strict=True)]
            rows.append(f"{title} {' '.join(cells)}".rstrip())
        rows.append("")
    return rows


@dataclass(frozen=True)
class AlignedLine:
    """A line of aligned.jsonl: the alignment of an utterance.

    Args:
        id: Its name.
        speaker: Who speaks.
        errors: Word errors.
        words: Reference, hypothesis and kind of each pair; null where one has no counterpart.
        labels: Categories that an STM file puts it into.
    """

    id: str
    speaker: str
    errors: Errors
    words: list[tuple[str | None, str | None, Kind]]
    labels: list[str] = field(default_factory=list)


def aligned_lines(utterances: Sequence[Aligned]) -> list[str]:
    """Returns the lines of aligned.jsonl."""
    return [
        json_line(
            {
                "id": each.id,
                "speaker": each.speaker,
                "errors": asdict(each.errors),
                "words": each.words,
                "labels": list(each.labels),
            }
        )
        for each in utterances
    ]


def read_aligned(path: Path) -> list[AlignedLine]:
    """Returns the alignments of a scored set.

    Raises:
        UserError: If the file is missing or holds something else.
    """
    return list(read_json_lines(path, AlignedLine, "score the set again"))
