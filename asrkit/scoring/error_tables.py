"""Files beside a score that count errors by utterance and speaker, and their reading.

Each row has a name, its rate and counts; utterances.tsv also says who speaks, by which runs are
compared speaker by speaker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrkit.errors import UserError
from asrkit.escapes import escaped
from asrkit.scoring.edits import Aligned, Errors
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


def utterance_rows(lines: Sequence[dict[str, Any]], errors: Sequence[Errors]) -> list[list[str]]:
    """Returns the rows of utterances.tsv for the lines of an n-best file."""
    rows = [[*_row(line["id"], e), line["speaker"]] for line, e in zip(lines, errors, strict=True)]
    return [["utterance", *COLUMNS, "speaker"], *rows]


def speaker_rows(lines: Sequence[dict[str, Any]], errors: Sequence[Errors]) -> list[list[str]]:
    """Returns the rows of speakers.tsv, the highest rate first."""
    speakers: dict[str, Errors] = defaultdict(Errors)
    for line, e in zip(lines, errors, strict=True):
        speakers[line["speaker"]] = speakers[line["speaker"]] + e
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
    return found


def aligned_texts(lines: Sequence[dict[str, Any]], aligned: Sequence[Aligned]) -> list[str]:
    """Returns reference over hypothesis for every utterance, with a mark under errors."""
    rows = []
    for line, (e, pairs) in zip(lines, aligned, strict=True):
        widths = [max(len(a), len(b)) for a, b in pairs]
        marks = ["" if a == b else "^" for a, b in pairs]
        rows.append(f"{escaped(line['id'])}  ({e.total} errors in {e.words} words)")
        for title, row in (
            ("REF", [a for a, _ in pairs]),
            ("HYP", [b for _, b in pairs]),
            ("   ", marks),
        ):
            cells = [word.ljust(width) for word, width in zip(row, widths, strict=True)]
            rows.append(f"{title} {' '.join(cells)}".rstrip())
        rows.append("")
    return rows
