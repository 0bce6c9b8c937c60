"""Words of decoded sets with times and confidences, as `asrkit words` writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from asrkit.errors import UserError
from asrkit.records import read_json, read_json_lines
from asrkit.run_files import BelievedLine, NbestLine
from asrkit.run_folder import DecodedSet
from asrkit.scoring.confidence import Calibration
from asrkit.scoring.edits import WordAligner


def read_calibration(path: Path) -> Calibration:
    """Returns what `calibrate` has learnt."""
    return read_json(path, Calibration, "make it again by `asrkit calibrate`")


def read_believed(place: DecodedSet) -> list[BelievedLine]:
    """Returns the words of a decoded set.

    Raises:
        UserError: If they were not written, or not all.
    """
    if not place.believed_words.is_file():
        raise UserError(f"{place.believed_words} is missing; first `asrkit words` of the same set")
    remedy = "write them again by `asrkit words`"
    return list(read_json_lines(place.believed_words, BelievedLine, remedy))


def confidences_of(
    found: Sequence[BelievedLine], lines: Mapping[str, NbestLine]
) -> tuple[list[float], list[bool]]:
    """Returns the confidences of words, and whether they were said, where that is known."""
    told: list[float] = []
    right: list[bool] = []
    for one in found:
        line = lines.get(one.id)
        if line is None or not line.transcribed:
            continue
        (aligned,) = WordAligner()([line]).utterances
        told.extend(word.confidence for word in one.words)
        right.extend(pair.kind == "correct" for pair in aligned.words if pair.found is not None)
    return told, right


def times_of(place: DecodedSet) -> Mapping[str, BelievedLine]:
    """Returns the words of a decoded set by utterance; none where nobody has asked for them."""
    if not place.believed_words.is_file():
        return {}
    return {one.id: one for one in read_believed(place)}
