"""Alignments as text, as older versions of asrkit stored them, and as it exports them.

The first line says what the symbols are (`# `, and JSON). Then there is a line for each utterance
and speed: name, speed, and the symbols of all frames, each an id or `-` for blank, separated by
spaces. The oldest files have no first line; their symbols are labels and blank, one for each
encoder frame.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asrkit.data.frame_targets import FrameTargets, TargetFields, targets_of
from asrkit.errors import UserError
from asrkit.records import parse_json
from asrkit.tables import as_line, read_rows, write_rows
from asrkit.text.outputs import Outputs

BLANK = "-"
"""What files call blank; its id depends on the vocabulary."""
HEADER = "# "
"""Begin of a file's first line, which has a single cell."""
Key = tuple[str, float]
"""An utterance and the speed that it is played at."""
Symbols = NDArray[np.int16] | NDArray[np.int32]


def targets_of_text(path: Path) -> FrameTargets | None:
    """Returns what a file says that its symbols are; None if it doesn't.

    Raises:
        UserError: If that can't be.
    """
    first = next(read_rows(path), [])
    if len(first) != 1 or not first[0].startswith(HEADER):
        return None
    where = f"{path}:1"
    return targets_of(parse_json(first[0].removeprefix(HEADER), TargetFields, where), where)


def read_text(path: Path, outputs: Outputs, headed: bool) -> dict[Key, Symbols]:
    """Returns the symbols of all utterances and speeds.

    Args:
        path: The file.
        outputs: Whose symbols they are.
        headed: Whether the first line says that.

    Raises:
        UserError: If a line is not an alignment.
    """
    found: dict[Key, Symbols] = {}
    for number, row in enumerate(islice(read_rows(path), int(headed), None), start=1 + headed):
        try:
            utterance, speed, symbols = row
            found[utterance, float(speed)] = np.array(_ids(symbols, outputs), np.int32)
        except ValueError as error:
            raise UserError(
                f"{path}:{number} is not an alignment: {error}; expected name, speed and "
                f"symbols separated by tabs, got {as_line(row)[:60]!r}"
            ) from error
    return found


def write_text(path: Path, targets: FrameTargets, symbols: Mapping[Key, Symbols]) -> None:
    """Writes a file, wholly or not at all."""
    header = HEADER + json.dumps(targets.fields(), ensure_ascii=False)
    blank = targets.outputs.specials.get("blank")
    rows = (
        [name, f"{speed:g}", " ".join(BLANK if i == blank else str(i) for i in ids.tolist())]
        for (name, speed), ids in sorted(symbols.items())
    )
    write_rows(path, [[header], *rows])


def _ids(words: str, outputs: Outputs) -> list[int]:
    """Returns the symbols that words stand for.

    Raises:
        ValueError: If one is not among the outputs.
    """
    blank = outputs.specials.get("blank", -1)
    ids = [blank if word == BLANK else int(word) for word in words.split()]
    wrong = next((i for i in ids if not 0 <= i < len(outputs)), None)
    if wrong is not None:
        raise ValueError(f"symbol {wrong} is not one of {outputs.told()}")
    return ids
