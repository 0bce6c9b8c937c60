"""Tables of utterances, with tabs or commas, whose first line names their columns."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from os.path import splitext
from pathlib import Path
from typing import Literal

from asrkit.config.signatures import did_you_mean
from asrkit.corpora.places import Places
from asrkit.data.sources import Source, Unusable
from asrkit.data.stm import seconds_of
from asrkit.errors import UserError
from asrkit.files import read_lines
from asrkit.text.normalization import normalized

log = logging.getLogger(__name__)

USUAL = {
    "audio": "audio path file filename file_name audio_path audio_file audio_filepath wav "
    "wav_path wav_filename",
    "text": "text sentence transcript transcription words",
    "id": "id utterance utterance_id utt_id utt uttid segment_id key",
    "speaker": "speaker speaker_id spk spk_id client_id",
    "start": "start start_time begin offset",
    "end": "end end_time stop",
    "duration": "duration",
}
"""How columns are usually named; of several that are there the first is taken."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a table; None looks for a usual name.

    Args:
        audio: Path of the audio file.
        text: What is said.
        id: Name of the utterance; made from the audio's name where there is none.
        speaker: Who speaks.
        start: Where in the file the utterance begins, in seconds.
        end: Where it ends, in seconds.
        duration: Its length in seconds, where there is a start and no end.
    """

    audio: str | None = None
    text: str | None = None
    id: str | None = None
    speaker: str | None = None
    start: str | None = None
    end: str | None = None
    duration: str | None = None


def read_table(
    path: Path,
    columns: Columns = Columns(),  # noqa: B008 - has no state
    root: Path | None = None,
    needs_text: bool = True,
) -> Iterator[Source | Unusable]:
    """Yields the utterances of a table, and the rows that can't be one.

    Columns are separated by tabs where the first line has one, else by commas, else by semicolons.
    Quotes around cells belong to tables without tabs only.

    Args:
        path: The table.
        columns: Names of its columns.
        root: What relative paths are meant from; the folder of the table if None.
        needs_text: Whether a column of text must be there.

    Raises:
        UserError: If it can't be read, or a column is missing; names the columns there are.
    """
    rows = _rows(path)
    _, header = next(rows, (0, []))
    found = _found(path, header, columns, needs_text)
    places = Places(path, root)
    for number, row in rows:
        where = f"{path}:{number}"
        if len(row) != len(header):
            said = f"{where}: {len(row)} cells, the first line names {len(header)} columns"
            yield Unusable(where, "malformed row", said)
            continue
        cells = {kind: row[column].strip() for kind, column in found.items()}
        yield _utterance(cells, where, places)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields line numbers and cells of the rows that are not empty."""
    first = next(read_lines(path), "")
    separator = next((sign for sign in "\t,;" if sign in first), "\t")
    quoting: Literal[0, 3] = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    lines = (line + "\n" for line in read_lines(path))  # which a cell in quotes may hold
    reader = csv.reader(lines, delimiter=separator, quoting=quoting, strict=True)
    begin = 1
    try:
        for row in reader:
            if row:
                yield begin, row
            begin = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{path}:{begin}: can't be read as a row of cells: {error}; is a quote not closed?"
        ) from error


def _found(path: Path, header: Sequence[str], columns: Columns, needs_text: bool) -> dict[str, int]:
    """Returns the numbers of the columns that are there, and logs which they are."""
    names = [name.strip() for name in header]
    there = ", ".join(repr(name) for name in names) or "none"
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"{path}: two columns are named {twice[0]!r}; columns there: {there}")
    chosen: dict[str, int] = {}
    for entry in fields(columns):
        wanted = getattr(columns, entry.name)
        number = _usual(entry.name, names) if wanted is None else _number(wanted, names)
        if wanted is not None and number is None:
            hint = did_you_mean(wanted, names)
            raise UserError(f"{path}: there is no column {wanted!r}{hint}; columns there: {there}")
        if number is not None:
            chosen[entry.name] = number
    _require(path, chosen, there, needs_text)
    # A length of whole files is not that of a part.
    if columns.duration is None and ("start" not in chosen or "end" in chosen):
        chosen.pop("duration", None)
    said = ", ".join(f"{kind} from {names[number]!r}" for kind, number in chosen.items())
    unused = [repr(n) for number, n in enumerate(names) if number not in chosen.values()]
    log.info("%s: %s; columns not used: %s", path, said, ", ".join(unused) or "none")
    return chosen


def _require(path: Path, chosen: dict[str, int], there: str, needs_text: bool) -> None:
    for kind in ("audio", "text") if needs_text else ("audio",):
        if kind not in chosen:
            raise UserError(
                f"{path}: no column is named as those of {kind} usually are "
                f"({', '.join(USUAL[kind].split())}); columns there: {there}; name it by "
                f"--{kind}; the first line must name the columns"
            )


def _usual(kind: str, names: Sequence[str]) -> int | None:
    folded = [name.lower() for name in names]
    return next((folded.index(name) for name in USUAL[kind].split() if name in folded), None)


def _number(wanted: str, names: Sequence[str]) -> int | None:
    return names.index(wanted) if wanted in names else None


def _utterance(cells: dict[str, str], where: str, places: Places) -> Source | Unusable:
    """Returns the utterance of a row."""
    audio = cells["audio"]
    name = cells.get("id") or _name(audio, cells) or where
    if not audio:
        return Unusable(name, "missing audio", f"{where}: names no audio file")
    try:
        start = seconds_of(cells.get("start") or "0", "file")
        duration = seconds_of(cells["duration"], "file") if cells.get("duration") else None
        duration = seconds_of(cells["end"], "file") - start if cells.get("end") else duration
    except ValueError as error:
        return Unusable(name, "impossible times", f"{where}: {error}")
    if duration is not None and duration <= 0:
        said = f"{where}: it goes from {start:g} to {start + duration:g} s"
        return Unusable(name, "impossible times", said)
    path = places.of(audio)
    text = normalized(cells["text"]) if "text" in cells else None
    return Source(name, path, text, cells.get("speaker", ""), start, duration)


def _name(audio: str, cells: dict[str, str]) -> str:
    """Returns the name of an utterance without one: its file, and where in the file it is."""
    times = [cells[kind] for kind in ("start", "end", "duration") if cells.get(kind)]
    return "-".join([splitext(audio)[0].lstrip("/"), *times]) if audio else ""
